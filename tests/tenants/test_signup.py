"""Claims about joining: codes, the first namespace, a way back in, and limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now
from django_tenants.utils import tenant_context
from joining import HERE, PASSWORD, code_of, join

from micro.errors import AlreadyExists, Error, InvalidArgument, PermissionDenied, ResourceExhausted, Unauthenticated
from primitives.auth import operations as accounts
from tenants import codes, limits, logins, signup
from tenants.models import Budget, EmailCode, Membership, Namespace, User
from tenants.operations import bootstrap

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def server():
    bootstrap(admin_password="micro")


def test_a_code_password_and_name_make_a_user_and_a_namespace_of_which_they_are_the_admin():
    user, namespace = join()
    assert (user.username, user.email, namespace.slug) == ("joe@example.org", "joe@example.org", "joe")
    assert namespace.environment.name == "local"
    assert Membership.objects.in_namespace("joe").get().role == Membership.Role.ADMIN


def test_the_same_password_logs_in_by_grpc_and_the_account_has_no_secret_of_its_own():
    _, namespace = join()
    with tenant_context(namespace):
        claim = accounts.Claim(id="joe@example.org", secret=PASSWORD)
        got = accounts.log_in(claim, namespace="joe", expiry=timedelta(minutes=5), at=now())
        assert got.access
        assert accounts.Account.objects.get(account_id="joe@example.org").secret == ""


def test_a_name_that_is_taken_makes_nothing_and_leaves_the_code_good():
    join("eve@example.org", "taken")
    signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    given = {"email": "joe@example.org", "code": code_of("joe@example.org"), "password": PASSWORD, "at": now(), **HERE}
    with pytest.raises(AlreadyExists):
        signup.sign_up(namespace="taken", **given)
    assert not User.objects.filter(username="joe@example.org").exists()
    assert signup.sign_up(namespace="free", **given)[1].slug == "free"


def test_what_fails_on_the_way_leaves_no_user_no_namespace_no_schema_and_a_good_code(monkeypatch):
    signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    given = {"email": "joe@example.org", "code": code_of("joe@example.org"), "password": PASSWORD, "at": now(), **HERE}

    def fail(namespace: Namespace) -> None:
        raise RuntimeError(namespace.schema_name)

    monkeypatch.setattr("tenants.provisioning.provision", fail)
    with pytest.raises(RuntimeError) as failed:
        signup.sign_up(namespace="joe", **given)
    assert not User.objects.filter(username="joe@example.org").exists()
    assert not Namespace.objects.filter(slug="joe").exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [str(failed.value)])
        assert cursor.fetchone() is None
    monkeypatch.undo()
    assert signup.sign_up(namespace="joe", **given)[1].slug == "joe"


def test_a_code_is_good_once():
    signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    code = code_of("joe@example.org")
    given = {"email": "joe@example.org", "code": code, "password": PASSWORD, "at": now(), **HERE}
    signup.sign_up(namespace="one", **given)
    with pytest.raises(InvalidArgument, match="wrong, used or older"):
        signup.sign_up(namespace="two", **given)


def test_a_code_ends_after_fifteen_minutes_and_after_five_tries():
    signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    code = code_of("joe@example.org")
    given = {"email": "joe@example.org", "password": PASSWORD, "namespace": "joe", **HERE}
    with pytest.raises(InvalidArgument):
        signup.sign_up(code=code, at=now() + timedelta(minutes=16), **given)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    for _ in range(codes.MOST_ATTEMPTS):
        with pytest.raises(InvalidArgument):
            signup.sign_up(code=wrong, at=now(), **given)
    with pytest.raises(InvalidArgument):
        signup.sign_up(code=code, at=now(), **given)


def test_a_code_for_a_reset_is_none_for_signing_up_and_none_of_another_address():
    join("eve@example.org", "eve")
    signup.request_reset(email="eve@example.org", at=now(), **HERE)
    for email in ("eve@example.org", "joe@example.org"):
        with pytest.raises(InvalidArgument):
            codes.check(email, EmailCode.Purpose.SIGN_UP, code_of("eve@example.org"), at=now(), **HERE)


def test_a_code_is_not_kept():
    signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    assert code_of("joe@example.org") not in str(EmailCode.objects.values())


def test_a_known_address_gets_an_e_mail_that_says_so_and_no_code():
    join()
    signup.request_sign_up(email="Joe@Example.org", at=now(), **HERE)
    assert "has an account already" in mail.outbox[-1].body
    assert not re.search(r"\d{6}", mail.outbox[-1].body)


def test_one_e_mail_goes_out_whether_the_address_is_known_or_not():
    join()
    for email, ask in (
        ("joe@example.org", signup.request_sign_up),
        ("new@example.org", signup.request_sign_up),
        ("joe@example.org", signup.request_reset),
        ("new@example.org", signup.request_reset),
    ):
        before = len(mail.outbox)
        ask(email=email, at=now(), **HERE)
        assert [message.to for message in mail.outbox[before:]] == [[email]]


def shapes(ask: Callable[[], object]) -> list[str]:
    """The questions that the database is asked, without their values."""
    with CaptureQueriesContext(connection) as captured, suppress(Error):
        ask()
    return [re.sub(r"'[^']*'|\d+", "?", query["sql"]) for query in captured]


def test_a_known_address_costs_the_same_work_as_an_unknown_one(monkeypatch):
    """What takes as long tells nothing either: the same questions, the same e-mails, the same hashing."""
    monkeypatch.setattr(limits, "TIDY_ONE_IN", 10**9)
    user, _ = join()
    hashed: list[str] = []
    encode = Argon2PasswordHasher.encode
    verify = Argon2PasswordHasher.verify
    monkeypatch.setattr(Argon2PasswordHasher, "encode", lambda *a, **k: hashed.append("once") or encode(*a, **k))
    monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *a, **k: hashed.append("once") or verify(*a, **k))
    mine = {"password": PASSWORD, "at": now(), **HERE}
    for ask in (
        lambda email: signup.request_sign_up(email=email, at=now(), **HERE),
        lambda email: signup.request_reset(email=email, at=now(), **HERE),
        lambda email: signup.sign_up(email=email, code="wrong", namespace="free", **mine),
        lambda email: signup.reset_password(email=email, code="wrong", **mine),
        lambda email: logins.prove(name=email, password="wrong", device="", at=now(), **HERE),
    ):
        cost = []
        for email in ("joe@example.org", "new@example.org"):
            hashed.clear()
            before = len(mail.outbox)
            cost.append((shapes(partial(ask, email)), len(mail.outbox) - before, list(hashed)))
        assert cost[0] == cost[1]
        assert cost[0][0]
    assert user.check_password(PASSWORD)


def test_the_code_that_is_drawn_for_a_known_address_makes_no_second_user():
    join()
    code = codes.draw("joe@example.org", EmailCode.Purpose.SIGN_UP, at=now())
    with pytest.raises(InvalidArgument, match="wrong, used or older"):
        signup.sign_up(email="joe@example.org", code=code, password=PASSWORD, namespace="two", at=now(), **HERE)
    assert not Namespace.objects.filter(slug="two").exists()


def test_names_are_judged_for_who_types_and_not_for_who_lists_them():
    at = now()
    Budget.objects.create(
        key="name-from:192.0.2.9", spent=signup.NAMES_PER_ORIGIN, renewed_at=at + timedelta(minutes=1)
    )
    signup.judge_name("free", origin="192.0.2.1", at=at)
    with pytest.raises(ResourceExhausted):
        signup.judge_name("free", origin="192.0.2.9", at=at)


@pytest.mark.parametrize("password", ["short", "password123", "joe@example.org", "1234567890"])
def test_a_password_that_is_easily_guessed_is_refused(password):
    with pytest.raises(InvalidArgument):
        join(password=password)
    assert not User.objects.filter(username="joe@example.org").exists()


def test_signing_up_where_it_is_closed_is_refused(settings):
    settings.MICRO_SIGNUP_IS_OPEN = False
    with pytest.raises(PermissionDenied, match="closed"):
        signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    with pytest.raises(PermissionDenied, match="closed"):
        signup.sign_up(email="a@b.c", code="1", password=PASSWORD, namespace="joe", at=now(), **HERE)


def test_a_mailbox_gets_five_e_mails_an_hour_and_fifteen_a_day_known_or_not_and_nobody_is_refused():
    join()
    at = now()
    for email in ("joe@example.org", "new@example.org"):
        mail.outbox.clear()
        for number in range(12):
            signup.request_sign_up(email=email, origin=f"192.0.2.{number}", at=at)
        assert len(mail.outbox) == signup.MAILS_PER_ADDRESS
        for hour in range(1, 20):
            signup.request_sign_up(email=email, origin="192.0.2.77", at=at + timedelta(hours=hour, minutes=1))
        assert len(mail.outbox) == signup.MAILS_PER_ADDRESS_A_DAY
        signup.request_sign_up(email=email, origin="192.0.2.77", at=at + timedelta(hours=25))
        assert len(mail.outbox) == signup.MAILS_PER_ADDRESS_A_DAY + 1


def test_what_strangers_ask_for_and_type_wrong_takes_no_code_from_the_owner_of_the_address():
    join()
    signup.request_reset(email="joe@example.org", at=now(), **HERE)
    code = code_of("joe@example.org")
    for number in range(3):
        stranger = f"198.51.100.{number}"
        for _ in range(10):
            signup.request_reset(email="joe@example.org", origin=stranger, at=now())
            with pytest.raises(InvalidArgument):
                signup.reset_password(
                    email="joe@example.org", code="wrong", password=PASSWORD, origin=stranger, at=now()
                )
    given = {"email": "joe@example.org", "password": "another horse 8", "at": now(), **HERE}
    assert signup.reset_password(code=code, **given).email == "joe@example.org"


def test_a_code_in_the_mailbox_is_good_again_when_its_owner_asks_though_strangers_have_used_up_the_e_mails():
    join()
    at = now()
    for _ in range(signup.MAILS_PER_ADDRESS + 3):
        signup.request_reset(email="joe@example.org", origin="198.51.100.1", at=at)
    code, later = code_of("joe@example.org"), at + timedelta(minutes=40)
    given = {"email": "joe@example.org", "code": code, "password": "another horse 8", "at": later, **HERE}
    with pytest.raises(InvalidArgument):
        signup.reset_password(**given)
    signup.request_reset(email="joe@example.org", at=later, **HERE)
    assert signup.reset_password(**given).email == "joe@example.org"
    signup.request_reset(email="joe@example.org", at=later, **HERE)
    assert code_of("joe@example.org") != code, "one that was used is not sent again"


def test_what_is_asked_for_to_sign_up_takes_no_e_mail_from_a_reset():
    join()
    for _ in range(signup.MAILS_PER_ADDRESS):
        signup.request_sign_up(email="joe@example.org", origin="198.51.100.1", at=now())
    signup.request_reset(email="joe@example.org", at=now(), **HERE)
    assert code_of("joe@example.org")


def test_fifty_wrong_tries_from_anywhere_end_a_code_and_the_next_e_mail_has_another():
    signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    code = code_of("joe@example.org")
    for number in range(codes.MOST_ATTEMPTS_IN_ALL):
        with pytest.raises(InvalidArgument):
            signup.verify(email="joe@example.org", code="wrong", origin=f"198.51.100.{number}", at=now())
    with pytest.raises(InvalidArgument):
        signup.verify(email="joe@example.org", code=code, at=now(), **HERE)
    signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    signup.verify(email="joe@example.org", code=code_of("joe@example.org"), at=now(), **HERE)


def test_addresses_of_one_network_of_ipv6_have_one_budget():
    at = now()
    for number in range(signup.CODES_PER_ORIGIN):
        signup.request_reset(email=f"u{number}@example.org", origin=f"2001:db8:1:2::{number:x}", at=at)
    with pytest.raises(ResourceExhausted) as refused:
        signup.request_reset(email="last@example.org", origin="2001:db8:1:2:ffff::1", at=at)
    assert 0 < refused.value.retry_after_s <= 3600
    signup.request_reset(email="last@example.org", origin="2001:db8:1:3::1", at=at)


def test_a_reset_lets_in_with_the_new_password_alone_and_ends_the_sessions(client):
    user, _ = join()
    client.force_login(user)
    assert client.get("/n/joe/", headers={"host": "localhost"}).status_code == 200
    signup.request_reset(email="joe@example.org", at=now(), **HERE)
    signup.reset_password(
        email="joe@example.org", code=code_of("joe@example.org"), password="another horse 8", at=now(), **HERE
    )
    assert client.get("/n/joe/", headers={"host": "localhost"}).status_code == 302
    tries = {"name": "joe@example.org", "device": "", "at": now(), **HERE}
    assert logins.prove(password="another horse 8", **tries) == user
    with pytest.raises(Unauthenticated):
        logins.prove(password=PASSWORD, **tries)
    assert Session.objects.count() <= 1


def test_ten_wrong_passwords_shut_out_strangers_and_not_the_owners_known_device():
    user, _ = join()
    at = now()
    tries = {"name": "joe@example.org", "at": at, **HERE}
    for _ in range(logins.TRIES_PER_ACCOUNT):
        with pytest.raises(Unauthenticated):
            logins.prove(password="wrong", device="", **tries)
    with pytest.raises(ResourceExhausted):
        logins.prove(password=PASSWORD, device="", **tries)
    assert logins.prove(password=PASSWORD, device="mine", **tries) == user
    later = {**tries, "at": at + logins.ACCOUNT_WINDOW + timedelta(seconds=1)}
    assert logins.prove(password=PASSWORD, device="", **later) == user


def test_unknown_and_disabled_users_and_wrong_passwords_are_answered_alike():
    user, _ = join()
    said = set()
    for name, password, active in (
        ("joe@example.org", "x", True),
        ("none@example.org", "x", True),
        ("joe@example.org", PASSWORD, False),
    ):
        User.objects.filter(pk=user.pk).update(is_active=active)
        with pytest.raises(Error) as raised:
            logins.prove(name=name, password=password, device="", at=now(), **HERE)
        said.add((type(raised.value), raised.value.detail))
    assert len(said) == 1


def test_a_hundred_tries_a_minute_from_one_place_are_enough():
    at = now()
    Budget.objects.create(
        key="login-from:192.0.2.9", spent=logins.TRIES_PER_ORIGIN, renewed_at=at + timedelta(minutes=1)
    )
    with pytest.raises(ResourceExhausted):
        logins.prove(name="x", password="x", device="", origin="192.0.2.9", at=at)


def test_a_budget_is_whole_again_after_its_window():
    at = now()
    for _ in range(2):
        limits.spend("key", limit=2, per=timedelta(seconds=30), at=at)
    with pytest.raises(ResourceExhausted, match="Try again in 30 seconds"):
        limits.spend("key", limit=2, per=timedelta(seconds=30), at=at)
    limits.spend("key", limit=2, per=timedelta(seconds=30), at=at + timedelta(seconds=30))


def test_two_users_cannot_have_the_same_address_in_another_spelling():
    join()
    with pytest.raises(Exception, match="an_address_has_one_user"):
        User.objects.create_user("other", "JOE@example.org", "x")
