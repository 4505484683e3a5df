from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from django.db import connection
from django_tenants.utils import tenant_context

from micro.errors import AlreadyExists, InvalidArgument, Unauthenticated
from primitives.auth import operations, tokens
from primitives.auth.models import Account, RefreshToken
from primitives.auth.operations import NewAccount
from tenants.models import Membership, User
from tenants.operations import create_namespace

MINUTE = timedelta(minutes=1)


@pytest.fixture
def at() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def shop(db):
    joe = User.objects.create_user("joe", password="correct horse")
    namespace = create_namespace(slug="shop", owner=joe)
    with tenant_context(namespace):
        yield namespace


def log_in(at, id="joe", secret="correct horse", expiry=MINUTE):  # noqa: S107
    return operations.log_in(namespace="shop", id=id, secret=secret, expiry=expiry, at=at)


def refresh(token, at, namespace="shop"):
    return operations.refresh(namespace=namespace, token=token, expiry=MINUTE, at=at)


@pytest.mark.usefixtures("shop")
def test_a_member_logs_in_with_the_password_of_its_user(at):
    given = log_in(at)
    account = tokens.verify(given.access).account
    assert (account.id, account.issuer, account.type, account.scopes) == ("joe", "shop", "user", ("admin",))
    claims = jwt.decode(given.access, options={"verify_signature": False})
    assert set(claims) == {"sub", "iss", "exp", "type", "name", "scopes", "metadata"}
    assert claims["exp"] == int((at + MINUTE).timestamp())
    assert Account.objects.get().secret == ""


@pytest.mark.usefixtures("shop")
def test_a_wrong_secret_and_an_unknown_account_are_told_apart_as_micro_did(at):
    with pytest.raises(Unauthenticated, match=r"^Secret not correct$"):
        log_in(at, secret="wrong")
    with pytest.raises(InvalidArgument, match=r"^Account not found with this ID$"):
        log_in(at, id="ann")


@pytest.mark.usefixtures("shop")
def test_no_expiry_is_a_quarter_of_an_hour_and_none_is_longer_than_a_day(at):
    assert log_in(at, expiry=timedelta(0)).expires_at == at + timedelta(minutes=15)
    assert log_in(at, expiry=timedelta(days=400)).expires_at == at + timedelta(days=1)


def test_the_member_of_one_namespace_is_unknown_in_another(shop, at):
    rival = create_namespace_outside("rival")
    with tenant_context(rival), pytest.raises(InvalidArgument, match="Account not found"):
        operations.log_in(namespace="rival", id="joe", secret="correct horse", expiry=MINUTE, at=at)


def create_namespace_outside(slug):
    connection.set_schema_to_public()
    return create_namespace(slug=slug)


def test_a_refresh_token_of_one_namespace_is_worth_nothing_in_another(shop, at):
    given = log_in(at)
    rival = create_namespace_outside("rival")
    with tenant_context(rival), pytest.raises(InvalidArgument, match="invalid token provided"):
        refresh(given.refresh, at, namespace="rival")
    with tenant_context(shop):
        assert tokens.verify(refresh(given.refresh, at).access).account.issuer == "shop"


@pytest.mark.usefixtures("shop")
def test_a_refresh_token_outlives_the_first_use_of_its_successor_by_a_minute(at):
    first = log_in(at)
    second = refresh(first.refresh, at)
    refresh(first.refresh, at + timedelta(hours=1))  # the answer with the successor was lost: not used yet
    refresh(second.refresh, at + timedelta(hours=2))
    refresh(first.refresh, at + timedelta(hours=2, seconds=59))
    with pytest.raises(InvalidArgument, match="invalid token provided"):
        refresh(first.refresh, at + timedelta(hours=2, seconds=60))


@pytest.mark.usefixtures("shop")
def test_the_late_reuse_of_a_refresh_token_ends_its_whole_chain_and_no_other(at):
    stolen = log_in(at)
    other_login = log_in(at)
    second = refresh(stolen.refresh, at)
    third = refresh(second.refresh, at)
    with pytest.raises(InvalidArgument):
        refresh(stolen.refresh, at + 2 * MINUTE)
    with pytest.raises(InvalidArgument):
        refresh(third.refresh, at + 2 * MINUTE)
    refresh(other_login.refresh, at + 2 * MINUTE)


@pytest.mark.usefixtures("shop")
def test_of_two_successors_the_one_that_is_used_first_wins(at):
    first = log_in(at)
    thiefs, ours = refresh(first.refresh, at), refresh(first.refresh, at)
    refresh(ours.refresh, at)
    with pytest.raises(InvalidArgument):
        refresh(thiefs.refresh, at + 2 * MINUTE)


@pytest.mark.usefixtures("shop")
def test_refresh_tokens_end_by_themselves_and_leave_no_rows(at):
    given = log_in(at)
    with pytest.raises(InvalidArgument):
        refresh(given.refresh, at + timedelta(days=30))
    for day in range(5):
        given = refresh(given.refresh, at + timedelta(days=day))
    assert RefreshToken.objects.count() <= 4


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "\u20ac"])
def test_what_was_never_a_refresh_token_is_refused(token, at):
    with pytest.raises(InvalidArgument, match="invalid token provided"):
        refresh(token, at)


@pytest.mark.usefixtures("shop")
def test_a_refresh_token_is_stored_only_as_its_digest(at):
    given = log_in(at)
    assert given.refresh not in str(list(RefreshToken.objects.values()))


def test_a_member_who_left_or_was_disabled_gets_no_more_tokens(shop, at):
    given = log_in(at)
    User.objects.update(is_active=False)
    with pytest.raises(InvalidArgument):
        refresh(given.refresh, at)
    with pytest.raises(InvalidArgument):
        log_in(at)
    User.objects.update(is_active=True)
    refresh(given.refresh, at)
    Membership.objects.in_namespace(shop).delete()
    with pytest.raises(InvalidArgument):
        refresh(given.refresh, at)


def test_a_member_who_is_admin_no_longer_gets_tokens_that_say_so(shop, at):
    given = log_in(at)
    Membership.objects.in_namespace(shop).update(role="member")
    assert tokens.verify(refresh(given.refresh, at).access).account.scopes == ()


@pytest.mark.usefixtures("shop")
def test_an_account_with_a_secret_of_its_own_logs_in_by_id_or_name(at):
    new = NewAccount(id="bot", name="Robot", scopes=["basic"], metadata={"a": "b"})
    _, secret = operations.generate(new, namespace="shop")
    assert len(secret) >= 32
    for id in ("bot", "Robot"):
        account = tokens.verify(log_in(at, id=id, secret=secret).access).account
        assert (account.id, account.name, account.scopes, account.metadata) == ("bot", "Robot", ("basic",), {"a": "b"})
    operations.generate(NewAccount(id="chosen", secret="chosen one"), namespace="shop")
    log_in(at, id="chosen", secret="chosen one")
    with pytest.raises(Unauthenticated):
        log_in(at, id="chosen", secret="chosen two")
    stored = set(Account.objects.values_list("secret", flat=True))
    assert not stored & {secret, "chosen one", ""}


@pytest.mark.usefixtures("shop")
def test_ids_and_names_are_taken_once_whoever_has_them():
    operations.generate(NewAccount(id="bot", name="Robot"), namespace="shop")
    for id, name, text in [
        ("bot", "", "ID"), ("joe", "", "ID"), ("Robot", "", "ID"), ("x", "Robot", "Name"), ("x", "joe", "Name"),
    ]:  # fmt: skip
        with pytest.raises(AlreadyExists, match=f"^Account with this {text} already exists$"):
            operations.generate(NewAccount(id=id, name=name), namespace="shop")
    with pytest.raises(InvalidArgument, match=r"^ID required$"):
        operations.generate(NewAccount(id=""), namespace="shop")


@pytest.mark.parametrize(
    "facts",
    [
        *({"id": "x" * 256}, {"id": "a\nb"}, {"id": "a", "name": "\x1b[31m"}, {"id": "a", "type": "x" * 41}),
        *({"id": "a", "scopes": ["x" * 100] * 21}, {"id": "a", "metadata": {"k": "v" * 2048}}),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_would_not_fit_into_a_header_or_a_line_is_no_account(facts):
    with pytest.raises(InvalidArgument, match="at most"):
        operations.generate(NewAccount(**facts), namespace="shop")
    assert Account.objects.count() == 0


def test_a_release_proves_itself_until_its_account_is_deleted(shop, at):
    connection.set_schema_to_public()
    for secret in ("first-secret", "second-secret"):
        operations.create_service_account(namespace=shop, id="hello-latest-1", secret=secret)
    with tenant_context(shop):
        given = log_in(at, id="hello-latest-1", secret="second-secret")
        with pytest.raises(Unauthenticated):
            log_in(at, id="hello-latest-1", secret="first-secret")
        account = tokens.verify(given.access).account
        assert (account.type, account.scopes) == ("service", ("service",))
        assert "second-secret" not in Account.objects.get(account_id="hello-latest-1").secret
    for _ in range(2):
        operations.delete_account(namespace=shop, id="hello-latest-1")
    with tenant_context(shop):
        with pytest.raises(InvalidArgument):
            refresh(given.refresh, at)
        with pytest.raises(InvalidArgument):
            log_in(at, id="hello-latest-1", secret="second-secret")


@pytest.mark.usefixtures("shop")
def test_a_new_member_takes_its_name_from_an_account_that_had_it(at):
    operations.generate(NewAccount(id="ann"), namespace="shop")
    ann = User.objects.create_user("ann", password="battery staple")
    Membership.objects.create(user=ann, namespace_id=Membership.objects.across_namespaces().get().namespace_id)
    assert tokens.verify(log_in(at, id="ann", secret="battery staple").access).account.type == "user"
