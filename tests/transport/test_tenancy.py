from __future__ import annotations

import asyncio
import threading

import pytest
from django.db import connection, connections

from micro.errors import NotFound
from tenants.models import Namespace
from tenants.operations import create_namespace
from transport.tenancy import in_public, in_tenant

pytestmark = pytest.mark.django_db(transaction=True)


def in_thread(function, *args, **kwargs):
    """Call it in a thread of its own, and leave no connection behind."""

    def call():
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return asyncio.to_thread(call)


def schema() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return cursor.fetchone()[0]


async def test_a_function_runs_inside_the_schema_of_its_namespace_off_the_loop():
    namespace = await in_thread(create_namespace, slug="shop")
    assert await in_tenant("shop", schema) == namespace.schema_name
    assert await in_public(schema) == "public"
    assert await in_tenant("shop", threading.get_ident) != threading.get_ident()


async def test_many_tenants_at_once_never_see_each_others_schema():
    namespaces = [await in_thread(create_namespace, slug=f"t{number}") for number in range(3)]

    def look(expected: str) -> bool:
        return all(schema() == expected for _ in range(5))

    looks = [in_tenant(namespace.slug, look, namespace.schema_name) for namespace in namespaces * 20]
    assert all(await asyncio.gather(*looks))


async def test_an_error_leaves_no_schema_behind():
    await in_thread(create_namespace, slug="shop")

    def fail() -> None:
        raise ZeroDivisionError

    for _ in range(8):
        with pytest.raises(ZeroDivisionError):
            await in_tenant("shop", fail)
        assert await in_public(schema) == "public"


async def test_a_namespace_that_is_not_there_is_not_found():
    with pytest.raises(NotFound, match="'absent'"):
        await in_tenant("absent", schema)


async def test_connections_that_the_server_dropped_are_replaced():
    await in_thread(create_namespace, slug="shop")
    await in_tenant("shop", schema)

    def drop_others() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    await in_thread(drop_others)
    for _ in range(8):
        assert await in_public(Namespace.objects.count) == 1
