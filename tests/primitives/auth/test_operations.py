from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from django.db import connection
from django_tenants.utils import tenant_context

from micro.errors import AlreadyExists, InvalidArgument, ResourceExhausted, Unauthenticated
from primitives.auth import operations, tokens
from primitives.auth.models import Account, RefreshToken
from primitives.auth.operations import Claim, NewAccount
from tenants.models import Attempts, Membership, User
from tenants.operations import create_namespace
from transport import callers

MINUTE = timedelta(minutes=1)


@pytest.fixture
def at() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def cheap_hashes(monkeypatch):
    """Passwords compared without their slow hash: what is counted does not depend on it."""
    monkeypatch.setattr("primitives.auth.secrets.check_password", lambda secret, _stored: secret != "wrong")


@pytest.fixture
def shop(db):
    joe = User.objects.create_user("joe", password="correct horse")
    namespace = create_namespace(slug="shop", owner=joe)
    with tenant_context(namespace):
        yield namespace


def log_in(at, id="joe", secret="correct horse", expiry=MINUTE, namespace="shop", address=""):  # noqa: S107
    return operations.log_in(Claim(id=id, secret=secret, address=address), namespace=namespace, expiry=expiry, at=at)


def refresh(token, at, namespace="shop"):
    return operations.refresh(namespace=namespace, token=token, expiry=MINUTE, at=at)


@pytest.mark.usefixtures("shop")
def test_a_member_logs_in_with_the_password_of_its_user(at):
    given = log_in(at)
    account = tokens.verify(given.access).account
    assert (account.id, account.issuer, account.type, account.scopes) == ("joe", "shop", "user", ("admin",))
    claims = jwt.decode(given.access, options={"verify_signature": False})
    assert set(claims) == {"sub", "iss", "exp", "type", "name", "scopes", "metadata", "user"}
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
        log_in(at, namespace="rival")


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
        operations.create_service_account(namespace=shop, id="hello-latest-1", secret=secret, service="hello")
    with tenant_context(shop):
        given = log_in(at, id="hello-latest-1", secret="second-secret")
        with pytest.raises(Unauthenticated):
            log_in(at, id="hello-latest-1", secret="first-secret")
        account = tokens.verify(given.access).account
        assert (account.type, account.scopes) == ("service", ("service", "service:hello"))
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


def as_account(id="joe", issuer="shop", scopes=("admin",), type="user"):
    return callers.Account(id=id, type=type, issuer=issuer, name=id, scopes=tuple(scopes))


def change_secret(at, id, new, old="", by=None):
    claim = Claim(id=id, secret=old)
    operations.change_secret(claim, namespace="shop", new_secret=new, by=by or as_account(), at=at)


@pytest.mark.usefixtures("shop")
def test_members_are_listed_before_they_ever_logged_in_beside_accounts_with_secrets_of_their_own():
    operations.generate(NewAccount(id="bot", name="Robot", scopes=["basic"]), namespace="shop")
    listed = operations.accounts_of(namespace="shop")
    assert [(one.id, one.name, one.scopes, one.issuer) for one in listed] == [
        ("bot", "Robot", ("basic",), "shop"), ("joe", "joe", ("admin",), "shop"),
    ]  # fmt: skip
    User.objects.update(is_active=False)
    assert [one.id for one in operations.accounts_of(namespace="shop")] == ["bot"]


@pytest.mark.usefixtures("shop")
def test_a_deleted_account_is_gone_with_all_that_renews_its_tokens(at):
    for name in ("bot", "Robot"):
        _, secret = operations.generate(NewAccount(id="bot", name="Robot"), namespace="shop")
        given = log_in(at, id="bot", secret=secret)
        operations.delete(namespace="shop", id=name, by=as_account())
        with pytest.raises(InvalidArgument, match="invalid token provided"):
            refresh(given.refresh, at)
        with pytest.raises(InvalidArgument, match="Account not found with this ID"):
            log_in(at, id="bot", secret=secret)
    assert Account.objects.count() == 0


def test_a_deleted_member_has_left_this_namespace_and_no_other(shop, at):
    ann = User.objects.create_user("ann", password="battery staple")
    Membership.objects.create(user=ann, namespace=shop)
    given = log_in(at, id="ann", secret="battery staple")
    operations.delete(namespace="shop", id="ann", by=as_account())
    with pytest.raises(InvalidArgument):
        refresh(given.refresh, at)
    assert User.objects.filter(username="ann").exists()
    assert [one.id for one in operations.accounts_of(namespace="shop")] == ["joe"]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("id", "text"),
    [("", "Missing ID"), ("joe", "Can't delete your own account"), ("nobody", "Account not found with this ID")],
)
def test_what_cannot_be_deleted_is_refused_in_micros_words(id, text):
    with pytest.raises(InvalidArgument, match=f"^{text}$"):
        operations.delete(namespace="shop", id=id, by=as_account())
    operations.generate(NewAccount(id="bot", name="Robot"), namespace="shop")
    with pytest.raises(InvalidArgument, match="your own"):
        operations.delete(namespace="shop", id="Robot", by=as_account(id="bot"))


@pytest.mark.usefixtures("shop")
def test_a_changed_password_ends_every_refresh_token_and_the_old_password(at):
    given = log_in(at)
    with pytest.raises(Unauthenticated, match=r"^Secret not correct$"):
        change_secret(at, "joe", "new", old="wrong")
    refresh(given.refresh, at)
    given = log_in(at)
    change_secret(at, "joe", "new one", old="correct horse")
    with pytest.raises(InvalidArgument, match="invalid token provided"):
        refresh(given.refresh, at)
    with pytest.raises(Unauthenticated):
        log_in(at)
    log_in(at, secret="new one")


def test_a_password_changed_elsewhere_ends_the_refresh_tokens_of_every_namespace(shop, at):
    rival = create_namespace_outside("rival")
    Membership.objects.create(user=User.objects.get(), namespace=rival)
    with tenant_context(rival):
        there = log_in(at, namespace="rival")
    with tenant_context(shop):
        change_secret(at, "joe", "new one", old="correct horse")
    with tenant_context(rival), pytest.raises(InvalidArgument, match="invalid token provided"):
        refresh(there.refresh, at, namespace="rival")


@pytest.mark.usefixtures("shop")
def test_an_account_changes_its_own_secret_by_showing_the_old_one(at):
    _, secret = operations.generate(NewAccount(id="bot"), namespace="shop")
    given = log_in(at, id="bot", secret=secret)
    bot = as_account("bot", scopes=())
    with pytest.raises(Unauthenticated, match="Secret not correct"):
        change_secret(at, "bot", "chosen", by=bot)
    change_secret(at, "bot", "chosen", old=secret, by=bot)
    with pytest.raises(InvalidArgument):
        refresh(given.refresh, at)
    log_in(at, id="bot", secret="chosen")


@pytest.mark.usefixtures("shop")
def test_admins_reset_accounts_and_only_the_platforms_reset_passwords(at):
    operations.generate(NewAccount(id="bot"), namespace="shop")
    ann = User.objects.create_user("ann", password="battery staple")
    Membership.objects.create(user=ann, namespace_id=Membership.objects.across_namespaces().get().namespace_id)
    change_secret(at, "bot", "chosen")
    log_in(at, id="bot", secret="chosen")
    for by in (as_account(), as_account(scopes=()), as_account("x", "micro", ["service"], type="service")):
        with pytest.raises(Unauthenticated, match="Secret not correct"):
            change_secret(at, "ann", "mine now", by=by)
    change_secret(at, "ann", "given by the operator", by=as_account("root", "micro"))
    log_in(at, id="ann", secret="given by the operator")
    with pytest.raises(Unauthenticated):
        change_secret(at, "joe", "without showing my own")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("id", "new", "text"),
    [
        ("joe", "", "New secret should not be blank"),
        ("nobody", "x", "Account not found with this ID"),
        ("joe", "x" * 1025, "A secret has at most 1024 characters."),
    ],
)
def test_a_new_secret_that_cannot_be_is_refused(id, new, text, at):
    with pytest.raises(InvalidArgument, match=text):
        change_secret(at, id, new, old="correct horse")


@pytest.mark.usefixtures("shop")
def test_a_release_that_is_made_again_keeps_its_refresh_tokens(shop, at):
    operations.create_service_account(namespace=shop, id="hello-1", secret="s" * 43, service="hello")
    given = log_in(at, id="hello-1", secret="s" * 43)
    operations.create_service_account(namespace=shop, id="hello-1", secret="s" * 43, service="hello")
    refresh(given.refresh, at)


@pytest.mark.usefixtures("shop")
def test_a_namespace_has_no_more_accounts_than_its_limit(settings):
    settings.MICRO_DEFAULT_ACCOUNTS = 2
    for name in ("a", "b"):
        operations.generate(NewAccount(id=name), namespace="shop")
    with pytest.raises(ResourceExhausted, match="limit"):
        operations.generate(NewAccount(id="c"), namespace="shop")
    operations.delete(namespace="shop", id="a", by=as_account())
    operations.generate(NewAccount(id="c"), namespace="shop")


def guess(at, times, **who):
    """How many of the tries were made; the others were refused unlooked at."""
    made = 0
    for _ in range(times):
        try:
            log_in(at, secret="wrong", **who)
        except ResourceExhausted:
            continue
        except (Unauthenticated, InvalidArgument):
            pass
        made += 1
    return made


@pytest.mark.usefixtures("shop")
def test_after_ten_wrong_secrets_nothing_is_tried_for_five_minutes_not_even_the_right_one(at, cheap_hashes):
    assert guess(at, 12, address="1.1.1.1") == 10
    with pytest.raises(ResourceExhausted, match="try again in 300 seconds"):
        log_in(at, address="1.1.1.1")
    with pytest.raises(ResourceExhausted, match="try again in 1 seconds"):
        log_in(at + timedelta(minutes=5, seconds=-1), address="1.1.1.1")
    log_in(at + timedelta(minutes=5), address="1.1.1.1")
    assert guess(at + timedelta(minutes=5), 11, address="1.1.1.1") == 10


@pytest.mark.usefixtures("shop")
def test_a_good_login_forgets_the_wrong_ones_before_it(at, cheap_hashes):
    for _ in range(3):
        assert guess(at, 9, address="1.1.1.1") == 9
        log_in(at, address="1.1.1.1")


@pytest.mark.usefixtures("shop")
def test_guesses_from_many_addresses_are_slowed_but_do_not_shut_out_who_is_known(at, cheap_hashes):
    log_in(at, address="9.9.9.9")
    made = sum(guess(at, 6, address=f"1.1.1.{n}") for n in range(20))
    assert made == 50
    with pytest.raises(ResourceExhausted):
        log_in(at, address="2.2.2.2")
    log_in(at, address="9.9.9.9")


@pytest.mark.usefixtures("shop")
def test_one_address_tries_a_hundred_accounts_a_minute(at, cheap_hashes):
    made = sum(guess(at, 1, id=f"somebody-{n}", address="1.1.1.1") for n in range(120))
    assert made == 100
    with pytest.raises(ResourceExhausted):
        log_in(at, address="1.1.1.1")
    log_in(at, address="2.2.2.2")
    log_in(at + timedelta(minutes=1), address="1.1.1.1")


@pytest.mark.usefixtures("shop")
def test_changing_a_secret_is_no_way_around(at, cheap_hashes):
    claim = Claim(id="joe", secret="wrong", address="1.1.1.1")
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            operations.change_secret(claim, namespace="shop", new_secret="x", by=as_account(scopes=()), at=at)
    with pytest.raises(ResourceExhausted):
        log_in(at, address="1.1.1.1")


@pytest.mark.usefixtures("shop")
def test_an_id_and_a_name_of_one_account_are_one(at, cheap_hashes):
    operations.generate(NewAccount(id="bot", name="Robot", secret="chosen"), namespace="shop")
    assert guess(at, 6, id="bot", address="1.1.1.1") + guess(at, 6, id="Robot", address="1.1.1.1") == 10


@pytest.mark.usefixtures("shop")
def test_a_drawn_secret_is_never_slowed_because_nobody_guesses_it(at):
    _, secret = operations.generate(NewAccount(id="bot"), namespace="shop")
    assert guess(at, 12, id="bot", address="1.1.1.1") == 10
    log_in(at, id="bot", secret=secret, address="1.1.1.1")


def test_of_a_hundred_guesses_at_once_ten_are_looked_at(transactional_db, at, cheap_hashes):
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    joe = User.objects.create_user("joe", password="correct horse")
    namespace = create_namespace(slug="shop", owner=joe)

    def one(_n):
        try:
            with tenant_context(namespace):
                return guess(at, 1, address="1.1.1.1")
        finally:
            connections.close_all()

    try:
        with ThreadPoolExecutor(20) as pool:
            assert sum(pool.map(one, range(100))) == 10
    finally:
        namespace.delete(force_drop=True)


def test_forgotten_attempts_leave_no_rows(shop, at, cheap_hashes):
    guess(at, 5, address="1.1.1.1")
    guess(at + timedelta(days=40), 1, address="3.3.3.3")
    assert Attempts.objects.count() == 3
