"""Claims about logging in by a browser: what a code is good for, for whom, how long and how often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils.timezone import now
from joining import PASSWORD, join

from micro.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from tenants import devices
from tenants.devices import State
from tenants.models import DeviceLogin, User
from tenants.operations import bootstrap

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def server(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # these claims are not about its cost
    bootstrap(admin_password="micro")


@pytest.fixture
def joe() -> User:
    return join()[0]


@pytest.fixture
def browser(joe) -> Client:
    client = Client(headers={"host": "localhost:8082"}, enforce_csrf_checks=False)
    client.post("/login", {"name": "joe@example.org", "password": PASSWORD})
    return client


def start(**changes: object):
    given = {"program": "micro on joes-laptop", "wanted": "joe", "origin": "192.0.2.7", "at": now(), **changes}
    return devices.start(**given)


def state(device_code: str, at=None) -> State:
    return devices.poll(device_code=device_code, at=at or now()).state


def test_a_program_is_told_once_for_whom_it_acts(joe):
    row, device_code = start()
    assert state(device_code) is State.PENDING
    devices.confirm(typed=devices.spelled(row.user_code).lower(), namespace="joe", by=joe, at=now())
    answer = devices.poll(device_code=device_code, at=now())
    assert (answer.state, answer.user, answer.namespace.slug) == (State.CONFIRMED, joe, "joe")
    with pytest.raises(NotFound):
        state(device_code)


def test_neither_code_is_kept_where_it_would_log_anybody_in():
    row, device_code = start()
    kept = DeviceLogin.objects.values_list().get(pk=row.pk)
    assert device_code not in map(str, kept)
    with pytest.raises(NotFound):
        state(row.user_code)


def test_a_program_that_asks_too_often_is_told_to_slow_down():
    _, device_code = start()
    at = now()
    assert state(device_code, at) is State.PENDING
    assert state(device_code, at + timedelta(seconds=0.1)) is State.SLOW_DOWN
    assert state(device_code, at + timedelta(seconds=3)) is State.PENDING


def test_a_code_ends_after_ten_minutes(joe):
    row, device_code = start(at=now() - timedelta(minutes=11))
    with pytest.raises(InvalidArgument, match="wrong, used or older"):
        devices.confirm(typed=row.user_code, namespace="joe", by=joe, at=now())
    assert state(device_code) is State.EXPIRED


def test_a_refused_program_is_told_so_and_nobody_can_confirm_it_any_more(joe):
    row, device_code = start()
    devices.refuse(typed=row.user_code, by=joe, at=now())
    with pytest.raises(InvalidArgument):
        devices.confirm(typed=row.user_code, namespace="joe", by=joe, at=now())
    assert state(device_code) is State.REFUSED


def test_a_code_that_was_confirmed_cannot_be_confirmed_by_somebody_else(joe):
    eve, _ = join("eve@example.org", "eve")
    row, device_code = start()
    devices.confirm(typed=row.user_code, namespace="joe", by=joe, at=now())
    with pytest.raises(InvalidArgument):
        devices.confirm(typed=row.user_code, namespace="eve", by=eve, at=now())
    assert devices.poll(device_code=device_code, at=now()).user == joe


def test_nobody_lends_a_namespace_that_is_not_theirs(joe):
    join("eve@example.org", "eve")
    row, _ = start(wanted="eve")
    with pytest.raises(PermissionDenied):
        devices.confirm(typed=row.user_code, namespace="eve", by=joe, at=now())
    assert devices.choices(by=joe, wanted="eve") == ["joe"]


def test_guessing_codes_and_starting_without_end_are_stopped(joe):
    for _ in range(devices.GUESSES_PER_USER):
        with pytest.raises(InvalidArgument):
            devices.find(typed="BBBB-BBBB", by=joe, at=now())
    with pytest.raises(ResourceExhausted):
        devices.find(typed="BBBB-BBBB", by=joe, at=now())
    for _ in range(devices.STARTS_PER_ORIGIN):
        start()
    with pytest.raises(ResourceExhausted):
        start()


def test_what_a_program_calls_itself_is_kept_printable_and_short():
    row, _ = start(program="micro\x1b[31m\0\n" + "x" * 300, wanted="a\0b")
    assert row.program.isprintable()
    assert len(row.program) == devices.MAX_PROGRAM_CHARACTERS
    assert start(program="\0")[0].program == "a program"


def test_the_page_shows_who_asks_and_lets_it_in(browser):
    row, device_code = start(program="micro on <b>host")
    page = browser.get(f"/device?code={devices.spelled(row.user_code)}")
    text = page.content.decode()
    assert devices.spelled(row.user_code) in text
    assert "micro on &lt;b&gt;host" in text
    assert "192.0.2.7" in text
    assert state(device_code) is State.PENDING  # looking at it is no consent
    form = {"code": row.user_code, "namespace": "joe", "decision": "confirm"}
    assert browser.post("/device", form).headers["location"] == "/device/done"
    assert "logged in" in browser.get("/device/done").content.decode()
    assert state(device_code, now() + timedelta(seconds=5)) is State.CONFIRMED


def test_the_page_can_say_no(browser):
    row, device_code = start()
    answer = browser.post("/device", {"code": row.user_code, "decision": "refuse"})
    assert "not logged in" in browser.get(answer.headers["location"]).content.decode()
    assert state(device_code) is State.REFUSED


def test_a_wrong_code_is_said_next_to_the_field(browser):
    answer = browser.post("/device", {"code": "nonsense"})
    assert answer.status_code == 400
    assert list(answer.context["form"].errors) == ["code"]


def test_the_page_is_for_who_has_logged_in_and_comes_back_to_the_code(joe):
    stranger = Client(headers={"host": "localhost:8082"})
    assert stranger.get("/device?code=BBBB-BBBB").headers["location"] == "/login?next=/device%3Fcode%3DBBBB-BBBB"


def test_another_site_cannot_make_a_browser_confirm(joe):
    careful = Client(headers={"host": "localhost:8082"}, enforce_csrf_checks=True)
    careful.force_login(joe)
    row, device_code = start()
    answer = careful.post("/device", {"code": row.user_code, "namespace": "joe", "decision": "confirm"})
    assert answer.status_code == 403
    assert state(device_code) is State.PENDING
