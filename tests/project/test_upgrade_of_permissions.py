"""State of the version before permissions: services and programs keep their data, and no power."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.timezone import now
from django_tenants.utils import tenant_context

from primitives.auth.models import Account
from primitives.auth.operations import caller
from runtime.models import Deployment, Release, Service
from tenants.access.actors import reach
from tenants.access.permissions import POWERS, Permission, Reach
from tenants.access.roles import Role, role
from tenants.models import Namespace, User
from tenants.operations import create_namespace

pytestmark = pytest.mark.django_db
DATA = ("store.write", "blobs.read", "config.write", "secrets.read", "events.delete", "registry.write")


@pytest.fixture
def shop() -> Namespace:
    return create_namespace(slug="shop", owner=User.objects.create_user("joe", password="x"))


def migrate(target: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    MigrationExecutor(connection).migrate([("micro_auth", target)])


def require_data_and_no_power(account: Account) -> None:
    one = caller(account, namespace="shop")
    assert all(reach(one, Permission(word)) is Reach.ALL for word in DATA)
    assert all(reach(one, permission) is Reach.NONE for permission in POWERS)


def test_a_release_that_runs_keeps_its_data_under_its_own_name(shop):
    service = Service.objects.in_namespace(shop).create(namespace=shop, name="web-shop", version="v-1")
    deployment = Deployment.objects.in_namespace(shop).create(
        namespace=shop, service=service, source="github.com/a/b", state="live", lease_until=now(), finished_at=now()
    )
    Release.objects.create(service=service, deployment=deployment, number=3, digest="git:1", command=["x"])
    with tenant_context(shop):
        Account.objects.create(
            account_id="web-shop-v-1-3", name="web-shop-v-1-3", type="service", scopes=["service"], secret="sealed"
        )
    connection.set_schema_to_public()
    apps = MigrationExecutor(connection).loader.project_state([("runtime", "0008_grants")]).apps
    with connection.schema_editor() as editor:
        import_module("runtime.migrations.0008_grants").keep(apps, editor)
    deployment.refresh_from_db()
    assert "store.*" in deployment.grants
    assert not [word for word in deployment.grants if word.startswith(("runtime", "accounts", "rules"))]
    with tenant_context(shop):
        account = Account.objects.get()
        assert role(caller(account, namespace="shop")) is Role.SERVICE
        assert account.scopes[:2] == ["service", "service:web-shop"]
        require_data_and_no_power(account)


def test_accounts_that_were_made_are_no_people_and_keep_their_data(shop):
    with tenant_context(shop):
        migrate("0001_initial")
        insert = (
            "INSERT INTO micro_auth_account (account_id, name, type, scopes, metadata, secret, user_id, created_at) "
        )
        rows = [
            ("bot", "user", '["invoices"]', "sealed", None), ("boss", "user", '["admin"]', "sealed", None),
            ("fake", "token", "[]", "sealed", None), ("joe", "user", '["admin"]', "", 1),
            ("web-latest-1", "service", '["service", "service:web", "store.*"]', "sealed", None),
        ]  # fmt: skip
        with connection.cursor() as cursor:
            for id, type, scopes, secret, user_id in rows:
                cursor.execute(f"{insert} VALUES (%s, %s, %s, %s, '{{}}', %s, %s, now())",
                               [id, id, type, scopes, secret, user_id])  # fmt: skip
        migrate("0002_people_and_programs")
        made = {account.account_id: account for account in Account.objects.all()}
        assert {id: account.type for id, account in made.items()} == {
            "bot": "account", "boss": "account", "fake": "account", "joe": "user", "web-latest-1": "service",
        }  # fmt: skip
        assert made["bot"].scopes[0] == "invoices"
        require_data_and_no_power(made["bot"])
        require_data_and_no_power(made["fake"])
        assert made["boss"].scopes == ["admin"]
        assert made["web-latest-1"].scopes == ["service", "service:web", "store.*"]
