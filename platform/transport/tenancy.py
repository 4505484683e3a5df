"""The ORM from asynchronous code, inside one tenant's schema."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections
from django_tenants.utils import get_tenant_model, tenant_context

from micro.errors import NotFound

from . import threads

P = ParamSpec("P")
Result = TypeVar("Result")


async def in_tenant(namespace: str, function: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call `function` in a worker thread with the schema of the namespace (its slug) selected.

    Raises NotFound when there is no such namespace.
    """
    return await threads.run(
        partial(_with_connections, partial(_inside, namespace, partial(function, *args, **kwargs)))
    )


async def in_public(function: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call `function` in a worker thread with only the public schema selected."""
    return await threads.run(partial(_with_connections, partial(function, *args, **kwargs)))


def _inside(namespace: str, call: Callable[[], Result]) -> Result:
    tenant = get_tenant_model().objects.filter(slug=namespace).first()
    if tenant is None:
        raise NotFound(f"Namespace {namespace!r} does not exist.")
    with tenant_context(tenant):
        return call()


def _with_connections(call: Callable[[], Result]) -> Result:
    """Worker threads keep their connections between calls; those gone stale are closed on either side of one."""
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()
