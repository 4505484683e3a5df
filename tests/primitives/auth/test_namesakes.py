"""A generated account and a person of the same name: in neither order does one get what is the other's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils.timezone import now
from django_tenants.utils import tenant_context

from micro.errors import AlreadyExists, InvalidArgument, Unauthenticated
from primitives.auth import operations, tokens
from primitives.auth.operations import Claim, NewAccount
from tenants import operations as tenants
from tenants.access.actors import account_of
from tenants.models import Membership, Namespace, User
from tenants.rpc import _namespaces_of
from transport.callers import Account

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def shop() -> Namespace:
    return tenants.create_namespace(slug="shop", owner=User.objects.create_user("ann", password="x"))


def admin() -> Account:
    return account_of(User.objects.get(username="ann"), "shop")


def generate(shop: Namespace, **facts: str) -> str:
    with tenant_context(shop):
        return operations.generate(NewAccount(**facts), namespace="shop", by=admin())[1]


@pytest.mark.parametrize("facts", [{"id": "joe"}, {"id": "bot", "name": "joe"}])
def test_nobody_becomes_a_member_who_is_named_like_an_account(shop, facts):
    generate(shop, **facts)
    connection.set_schema_to_public()
    joe = User.objects.create_user("joe", password="x")
    with pytest.raises(AlreadyExists, match="There is an account 'joe'"):
        tenants.add_member(namespace=shop, user=joe, role="member", by=admin())
    assert not Membership.objects.in_namespace(shop).filter(user=joe).exists()


@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.parametrize("facts", [{"id": "joe"}, {"id": "bot", "name": "joe"}])
def test_no_account_is_made_that_is_named_like_a_member_disabled_or_not(shop, facts, is_active):
    joe = User.objects.create_user("joe", password="x", is_active=is_active)
    tenants.add_member(namespace=shop, user=joe, role="member", by=admin())
    with pytest.raises(AlreadyExists):
        generate(shop, **facts)


def test_a_token_of_an_account_is_nothing_to_the_person_who_has_its_name_later(shop):
    secret = generate(shop, id="joe")
    with tenant_context(shop):
        held = operations.log_in(Claim(id="joe", secret=secret), namespace="shop", expiry=MINUTE, at=now())
        operations.delete(namespace="shop", id="joe", by=admin())
    connection.set_schema_to_public()
    joe = User.objects.create_user("joe", password="x")
    home = tenants.create_namespace(slug="home", owner=joe)
    tenants.add_member(namespace=shop, user=joe, role="member", by=admin())
    persons = account_of(joe, "shop")
    tenants.create_api_token(namespace=shop, name="ci", role="member", expires_at=None, by=persons, at=now())
    account = tokens.verify(held.access).account
    assert (account.type, account.user_id) == ("account", None)
    assert [row.name for row in _namespaces_of(account)] == ["shop"]
    assert {row.name for row in _namespaces_of(persons)} == {"shop", str(home)}
    named = Account("joe", "user", "shop", "joe", ())  # a token from before tokens said which person it is
    assert not tenants.visible_api_tokens(namespace=shop, by=named)
    assert [row.name for row in _namespaces_of(named)] == ["shop"]
    with tenant_context(shop), pytest.raises(InvalidArgument):
        operations.refresh(namespace="shop", token=held.refresh, expiry=MINUTE, at=now())


def test_a_user_who_takes_the_name_of_one_who_left_has_none_of_their_api_tokens(shop):
    first = User.objects.create_user("joe", password="x")
    tenants.add_member(namespace=shop, user=first, role="member", by=admin())
    tenants.create_api_token(
        namespace=shop, name="ci", role="member", expires_at=None, by=account_of(first, "shop"), at=now()
    )
    User.objects.filter(pk=first.pk).update(username="joe-of-old")
    second = User.objects.create_user("joe", password="x")
    tenants.add_member(namespace=shop, user=second, role="member", by=admin())
    assert not tenants.visible_api_tokens(namespace=shop, by=account_of(second, "shop"))
    assert tenants.visible_api_tokens(namespace=shop, by=account_of(User.objects.get(pk=first.pk), "shop")).count() == 1


@pytest.mark.parametrize("type", ["user", "token"])
def test_types_of_people_are_given_to_nobody(shop, type):
    with pytest.raises(InvalidArgument, match="is that of people"):
        generate(shop, id="ceo", type=type)


def test_a_release_takes_no_account_over_and_none_takes_its(shop):
    secret = generate(shop, id="web-latest-1")
    connection.set_schema_to_public()
    for service in ("web", "web-latest"):
        with pytest.raises(AlreadyExists, match="as another account or member is"):
            operations.create_service_account(namespace=shop, id="web-latest-1", secret="s" * 43, service=service)
    with tenant_context(shop):
        operations.log_in(Claim(id="web-latest-1", secret=secret), namespace="shop", expiry=MINUTE, at=now())
    connection.set_schema_to_public()
    joe = User.objects.create_user("api-latest-1", password="x")
    tenants.add_member(namespace=shop, user=joe, role="member", by=admin())
    with pytest.raises(AlreadyExists):
        operations.create_service_account(namespace=shop, id="api-latest-1", secret="s" * 43, service="api")
    operations.create_service_account(namespace=shop, id="shop-api-latest-1", secret="s" * 43, service="shop-api")
    with pytest.raises(AlreadyExists):  # shop in the version api-latest
        operations.create_service_account(namespace=shop, id="shop-api-latest-1", secret="t" * 43, service="shop")


def test_an_account_that_is_gone_makes_no_account_with_the_token_that_it_still_has(shop):
    gone = Account("child", "account", "shop", "child", ("accounts.write",))
    with tenant_context(shop), pytest.raises(Unauthenticated, match="is gone"):
        operations.generate(NewAccount(id="orphan"), namespace="shop", by=gone)
