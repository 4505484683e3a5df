"""API tokens: who makes them, what they let one do, and when they stop."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from micro.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, Unauthenticated
from tenants import api_tokens, operations
from tenants.access import actors
from tenants.access.permissions import Permission
from tenants.access.roles import Role, role
from tenants.models import ApiToken, Membership, User
from transport.callers import Account

pytestmark = pytest.mark.django_db


USERS = {"joe": 101, "ann": 102}


def account(name: str, namespace: str, *scopes: str, type: str = "user") -> Account:
    user_id = USERS.get(name) if type == "user" else None
    return Account(id=name, type=type, issuer=namespace, name=name, scopes=scopes, user_id=user_id)


JOE, ANN = account("joe", "shop", "admin"), account("ann", "shop")


def user(name: str) -> User:
    return User.objects.create_user(name, password="x", pk=USERS.get(name))


@pytest.fixture
def shop():
    namespace = operations.create_namespace(slug="shop", owner=user("joe"))
    Membership.objects.create(user=user("ann"), namespace=namespace)
    return namespace


def make(namespace, by=JOE, *, name="ci", role="member", days=1):
    expires_at = now() + timedelta(days=days) if days else None
    return operations.create_api_token(
        namespace=namespace, name=name, role=role, expires_at=expires_at, by=by, at=now()
    )


def test_a_token_speaks_for_its_owner_in_its_namespace_and_role(shop):
    row, token = make(shop, role="reader")
    found = api_tokens.identify(token, at=now())
    assert (found.id, found.issuer, found.type) == ("joe", "shop", "token")
    assert role(found) == Role.READER
    assert token.startswith(row.hint)


def test_only_a_digest_is_kept(shop):
    row, token = make(shop)
    kept = ApiToken.objects.in_namespace(shop).values().get(pk=row.pk)
    assert token not in str(kept)


def test_a_reader_deploys_nothing(shop):
    found = api_tokens.identify(make(shop, role="reader")[1], at=now())
    actors.require(found, shop, Permission.RUNTIME_READ)
    with pytest.raises(PermissionDenied, match=r"permission runtime\.deploy"):
        actors.require(found, shop, Permission.RUNTIME_DEPLOY)


@pytest.mark.parametrize("bad", ["", "micro_", "micro_" + "A" * 43, "x" * 10_000, "micro_\0", "é"])
def test_an_unknown_token_is_refused(shop, bad):
    with pytest.raises(Unauthenticated):
        api_tokens.identify(bad, at=now())


def test_a_token_ends_when_it_says(shop):
    row, token = make(shop, days=1)
    with pytest.raises(Unauthenticated):
        api_tokens.identify(token, at=row.expires_at)
    assert api_tokens.identify(make(shop, name="for ever", days=0)[1], at=now() + timedelta(days=9999))


def test_a_token_ends_with_its_owners_membership_or_login(shop):
    token, other = make(shop, ANN)[1], make(shop)[1]
    User.objects.filter(username="ann").update(is_active=False)
    with pytest.raises(Unauthenticated):
        api_tokens.identify(token, at=now())
    Membership.objects.in_namespace(shop).filter(user__username="joe").delete()
    with pytest.raises(Unauthenticated):
        api_tokens.identify(other, at=now())


def test_a_token_never_has_more_than_its_owner_has_now(shop):
    token = make(shop, role="admin")[1]
    assert role(api_tokens.identify(token, at=now())) == Role.ADMIN
    Membership.objects.in_namespace(shop).filter(user__username="joe").update(role="member")
    assert role(api_tokens.identify(token, at=now())) == Role.MEMBER


def test_nobody_gives_more_than_they_have(shop):
    with pytest.raises(PermissionDenied, match="cannot give the role admin"):
        make(shop, ANN, role="admin")


def test_a_token_makes_no_token_and_neither_does_an_account_without_a_user(shop):
    for by in (
        api_tokens.identify(make(shop)[1], at=now()),
        account("robot", "shop", "admin"),
        account("joe", "shop", "service", type="service"),
        account("admin", "micro", "admin"),
    ):
        with pytest.raises(PermissionDenied, match=r"Only a user|the permission tokens\.write"):
            make(shop, by, name="more")


def test_another_namespaces_tokens_are_out_of_reach(shop):
    operations.create_namespace(slug="rival", owner=User.objects.create_user("eve", password="x"))
    row, _ = make(shop)
    with pytest.raises(PermissionDenied):
        operations.revoke_api_token(namespace=shop, token_id=row.pk, by=account("eve", "rival", "admin"))


def test_a_member_revokes_their_own_and_an_admin_anybodys(shop):
    own, token = make(shop, ANN)
    admins, _ = make(shop)
    with pytest.raises(NotFound):
        operations.revoke_api_token(namespace=shop, token_id=admins.pk, by=ANN)
    assert list(operations.visible_api_tokens(namespace=shop, by=ANN)) == [own]
    assert list(operations.visible_api_tokens(namespace=shop, by=JOE)) == [own, admins]
    operations.revoke_api_token(namespace=shop, token_id=own.pk, by=JOE)
    with pytest.raises(Unauthenticated):
        api_tokens.identify(token, at=now())


def test_use_is_noted_to_the_minute(shop):
    row, token = make(shop)
    first = now()
    for seconds in (0, 30, 90):
        api_tokens.identify(token, at=first + timedelta(seconds=seconds))
        row = ApiToken.objects.in_namespace(shop).get(pk=row.pk)
        assert row.last_used_at == first + timedelta(seconds=seconds - seconds % 90)


@pytest.mark.parametrize(
    ("name", "role", "days"),
    [("", "member", 1), ("a\nb", "member", 1), ("x" * 61, "member", 1), ("ci", "owner", 1), ("ci", "member", -1)],
)
def test_what_cannot_be_a_token_is_refused(shop, name, role, days):
    with pytest.raises(InvalidArgument):
        make(shop, name=name, role=role, days=days)


def test_a_name_is_given_once_and_tokens_are_not_without_number(shop, monkeypatch):
    make(shop)
    with pytest.raises(AlreadyExists):
        make(shop)
    monkeypatch.setattr(operations, "MOST_API_TOKENS", 1)
    with pytest.raises(ResourceExhausted):
        make(shop, name="another")


def test_only_admins_of_the_platform_make_namespaces_for_others():
    operations.bootstrap(admin_password="micro")
    made = operations.found_namespace(slug="fresh", by=account("admin", "micro", "admin"))
    assert made.slug == "fresh"
    for by in (JOE, account("joe", "micro"), account("robot", "micro", "service", type="service")):
        with pytest.raises(PermissionDenied):
            operations.found_namespace(slug="mine", by=by)
