from __future__ import annotations

import threading

import pytest
from django.db import connection, connections
from django_tenants.utils import schema_exists

from micro.errors import AlreadyExists, InvalidArgument
from tenants import provisioning
from tenants.models import Environment, Membership, Namespace, User
from tenants.operations import bootstrap, create_namespace


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(provisioning, "_provisioners", provisioners := [])
    return provisioners


@pytest.mark.django_db
def test_a_namespace_is_born_with_a_schema_that_holds_the_tables_of_the_tenant_apps():
    namespace = create_namespace(slug="shop")
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [namespace.schema_name])
        tables = {name for (name,) in cursor.fetchall()}
    assert "django_migrations" in tables
    assert "tenants_user" not in tables
    assert namespace.schema_name == f"ns_{namespace.pk}"


@pytest.mark.django_db
def test_a_name_is_taken_once():
    create_namespace(slug="shop")
    with pytest.raises(AlreadyExists, match="'shop' already exists"):
        create_namespace(slug="shop")


@pytest.mark.django_db
def test_the_owner_becomes_the_admin():
    joe = User.objects.create_user("joe")
    namespace = create_namespace(slug="shop", owner=joe)
    assert Membership.objects.in_namespace(namespace).get().role == "admin"


@pytest.mark.django_db
def test_a_failing_provisioner_leaves_neither_row_nor_schema(registered):
    def fail(namespace: Namespace) -> None:
        registered.append(namespace.schema_name)
        raise RuntimeError("no room")

    provisioning.register(fail)
    with pytest.raises(RuntimeError, match="no room"):
        create_namespace(slug="shop")
    assert not Namespace.objects.filter(slug="shop").exists()
    assert not schema_exists(registered[-1])


@pytest.mark.django_db
def test_a_provisioner_registered_twice_runs_once(registered):
    seen = []
    provisioner = seen.append
    provisioning.register(provisioner)
    provisioning.register(provisioner)
    namespace = create_namespace(slug="shop")
    assert seen == [namespace]


@pytest.mark.django_db
@pytest.mark.parametrize("slug", ["micro", "www", "api", "proxy", "app", "admin"])
def test_reserved_names_are_refused(slug):
    with pytest.raises(InvalidArgument, match="reserved"):
        create_namespace(slug=slug)


@pytest.mark.django_db
def test_a_bootstrap_makes_the_platform_once_and_never_resets_a_password():
    bootstrap(admin_password="micro")
    admin = User.objects.get(username="admin")
    assert admin.check_password("micro")
    assert Membership.objects.in_namespace("micro").get().user == admin
    assert set(Environment.objects.values_list("name", flat=True)) >= {"local", "dev", "platform"}
    admin.set_password("better")
    admin.save()
    bootstrap(admin_password="micro")
    assert User.objects.get(username="admin").check_password("better")


@pytest.mark.django_db(transaction=True)
def test_two_that_want_the_same_name_at_once_get_one_namespace():
    outcomes = []

    def create() -> None:
        try:
            outcomes.append(create_namespace(slug="race").slug)
        except AlreadyExists:
            outcomes.append("taken")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=create) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["race", "taken"]
