"""Claims about the pages of signing up and logging in: by Django's test client."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from joining import PASSWORD, code_of, join

from tenants import logins, sessions
from tenants.models import User
from tenants.operations import bootstrap, create_namespace

pytestmark = pytest.mark.django_db
LOCAL = {"host": "localhost:8082"}


@pytest.fixture(autouse=True)
def server(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # these claims are not about its cost
    bootstrap(admin_password="micro")


@pytest.fixture
def browser() -> Client:
    return Client(headers=LOCAL, enforce_csrf_checks=False)


def log_in(browser: Client, **more: str):
    return browser.post("/login", {"name": "joe@example.org", "password": PASSWORD, **more})


def test_the_story_of_signing_up_ends_logged_in_in_the_new_namespace(browser):
    assert browser.post("/signup", {"email": "Joe@Example.org"}).headers["location"].startswith("/signup/code?email=")
    form = {"email": "joe@example.org", "code": code_of("joe@example.org"), "password": PASSWORD, "namespace": "joe"}
    assert browser.post("/signup/code", form).headers["location"] == "/n/joe/"
    assert browser.get("/n/joe/").status_code == 200
    assert browser.get("/").headers["location"] == "/n/joe/"
    assert browser.post("/logout").status_code == 302
    assert browser.get("/n/joe/").headers["location"] == "/login?next=/n/joe/"


def test_what_is_wrong_is_said_next_to_its_field(browser):
    create_namespace(slug="taken")
    browser.post("/signup", {"email": "joe@example.org"})
    form = {"email": "joe@example.org", "code": "000000", "password": PASSWORD, "namespace": "free"}
    if code_of("joe@example.org") == "000000":
        form["code"] = "000001"
    answer = browser.post("/signup/code", form)
    assert list(answer.context["form"].errors) == ["code"]
    assert answer.status_code == 400
    answer = browser.post("/signup/code", {**form, "namespace": "taken", "password": "short"})
    assert sorted(answer.context["form"].errors) == ["namespace", "password"]
    assert answer.status_code == 422


def test_without_an_address_the_second_step_leads_to_the_first(browser):
    assert browser.get("/signup/code").headers["location"] == "/signup"
    assert browser.get("/reset/code").headers["location"] == "/reset"
    for path in ("/signup/code", "/reset/code"):
        answer = browser.post(path, {"code": "123456", "password": PASSWORD, "namespace": "joe"})
        assert answer.status_code == 422
        assert "Email: This field is required." in answer.content.decode()


def test_nothing_that_was_typed_is_lost_on_bad_input_but_the_password(browser):
    form = {"email": "joe@example.org", "code": "12", "password": "short", "namespace": "micro"}
    for path in ("/signup/code", "/reset/code"):
        page = browser.post(path, form).content.decode()
        for name in ("email", "code"):
            assert f'value="{form[name]}"' in page
        assert "short" not in page.replace("too short", "")
        assert "Type it again: it is not shown." in page
    assert "wrong" not in browser.post("/login", {"name": "joe", "password": "wrong-secret"}).content.decode().replace(
        "password is wrong", ""
    )
    assert 'value="nobody@"' in browser.post("/signup", {"email": "nobody@"}).content.decode()
    assert 'value="joe"' in browser.post("/login", {"name": "joe", "password": "wrong"}).content.decode()
    assert 'value="a@b.org"' in browser.get("/signup?email=a@b.org").content.decode()


def test_the_cursor_is_in_the_first_field_that_is_wrong(browser):
    form = {"email": "joe@example.org", "code": "123456", "password": "short", "namespace": "micro"}
    page = browser.post("/signup/code", form).content.decode()
    (field,) = re.findall(r"<input [^>]*autofocus[^>]*>", page)
    assert 'name="password"' in field
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="id_password_helptext id_password_error"' in field


def test_a_name_is_judged_while_it_is_typed(browser):
    create_namespace(slug="taken")
    for name, words in (
        ("taken", "already exists"),
        ("micro", "is reserved"),
        ("-x", "must be"),
        ("free", "It is free"),
    ):
        assert words in browser.get("/signup/namespace", {"namespace": name}).content.decode()


def test_where_sign_up_is_closed_nothing_about_names_or_addresses_is_told(browser, settings):
    settings.MICRO_SIGNUP_IS_OPEN = False
    create_namespace(slug="taken")
    said = {browser.get("/signup/namespace", {"namespace": name}).content for name in ("taken", "free")}
    assert len(said) == 1
    assert browser.post("/signup", {"email": "joe@example.org"}).status_code == 403
    assert not mail.outbox
    assert "Sign-up is closed" in browser.get("/signup").content.decode()


def test_a_token_may_be_good_for_ever(browser):
    user, _ = join()
    browser.force_login(user)
    browser.post("/n/joe/tokens", {"name": "ci", "role": "reader", "days": "ever"})
    (row,) = browser.get("/n/joe/tokens").context["rows"]
    assert row.expires_at is None


def test_the_pages_say_the_same_of_a_known_and_of_an_unknown_address(browser):
    join()
    for path in ("/signup", "/reset"):
        answers = []
        for email in ("joe@example.org", "new@example.org"):
            answer = browser.post(path, {"email": email})
            page = browser.get(answer.headers["location"]).content.decode()
            answers.append((answer.status_code, page.replace(email, "X").partition("csrfmiddlewaretoken")[0]))
        assert answers[0] == answers[1]


def test_a_reset_by_pages(browser):
    join()
    browser.post("/reset", {"email": "joe@example.org"})
    form = {"email": "joe@example.org", "code": code_of("joe@example.org"), "password": "another horse 8"}
    assert browser.post("/reset/code", form).headers["location"] == "/login"
    assert log_in(browser).status_code == 401
    assert log_in(browser, password="another horse 8").headers["location"] == "/n/joe/"


def test_logging_in_makes_a_new_session(browser):
    join()
    browser.cookies["micro"] = "a" * 32
    log_in(browser)
    assert browser.cookies["micro"].value != "a" * 32
    cookie = browser.cookies["micro"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


@pytest.mark.parametrize(
    "wanted",
    ["//evil", "\\\\evil", "/\\evil", "https:evil", "https://evil", "//evil@localhost", "data:text/html,x",
     "javascript:x", "/\tevil/..//evil", "///evil", "http:///evil", "evil", " //evil",
     "/%09/evil", "/nothing", "\t//evil", "https:/evil"],
)  # fmt: skip
def test_no_login_leads_off_the_site(browser, wanted):
    join()
    went = log_in(browser, next=wanted).headers["location"]
    assert went == "/n/joe/"


def test_a_login_leads_to_the_page_that_was_asked_for(browser):
    join()
    assert log_in(browser, next="/n/joe/deploy").headers["location"] == "/n/joe/deploy"


def test_a_form_without_its_token_changes_nothing():
    user, _ = join()
    browser = Client(headers=LOCAL, enforce_csrf_checks=True)
    browser.force_login(user)
    sent = len(mail.outbox)
    paths = ["/login", "/logout", "/signup", "/signup/code", "/reset", "/reset/code", "/n/joe/deploy", "/n/joe/tokens"]
    paths += ["/n/joe/services/x/delete", "/n/joe/services/x/variables"]
    for path in paths:
        answer = browser.post(path, {"email": "joe@example.org"})
        assert answer.status_code == 403, path
        assert b"not sent from a page of ours" in answer.content
    assert len(mail.outbox) == sent
    assert browser.get("/n/joe/").status_code == 200


def test_looking_changes_nothing(browser):
    user, _ = join()
    browser.force_login(user)
    for path in ("/logout", "/n/joe/services/x/delete", "/n/joe/services/x/variables"):
        assert browser.get(path).status_code == 405, path


def test_a_session_ends_when_nobody_used_it_and_in_any_case(browser, settings, monkeypatch):
    settings.MICRO_SESSION_IDLE, settings.MICRO_SESSION_LIFE = timedelta(minutes=30), timedelta(hours=12)
    join()
    began = timezone.now()
    log_in(browser)

    def get_after(passed: timedelta) -> int:
        monkeypatch.setattr(sessions, "now", lambda: began + passed)
        return browser.get("/n/joe/").status_code

    assert get_after(timedelta(minutes=29)) == 200
    assert get_after(timedelta(minutes=58)) == 200
    assert get_after(timedelta(minutes=89)) == 302
    log_in(browser)
    monkeypatch.setattr(sessions, "now", lambda: began)
    log_in(browser)
    for passed in range(20, 12 * 60, 20):
        assert get_after(timedelta(minutes=passed)) == 200
    assert get_after(timedelta(hours=12, minutes=1)) == 302


def test_the_headers_let_no_script_of_others_run(browser):
    for path in ("/", "/login", "/nothing"):
        policy = browser.get(path).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
    assert browser.get("/").headers["x-content-type-options"] == "nosniff"


def test_a_page_that_is_not_there_says_so_plainly(browser):
    answer = browser.get("/nothing")
    assert answer.status_code == 404
    assert b"There is no such page, or it is not yours to see." in answer.content


def test_a_token_is_shown_once_and_revoked(browser):
    user, _ = join()
    browser.force_login(user)
    page = browser.post("/n/joe/tokens", {"name": "ci", "role": "member", "days": "30"})
    token = page.context["made"]
    assert token.encode() in page.content
    again = browser.get("/n/joe/tokens")
    assert token.encode() not in again.content
    (row,) = again.context["rows"]
    assert browser.post(f"/n/joe/tokens/{row.pk}/revoke").status_code == 302
    assert not browser.get("/n/joe/tokens").context["rows"]


def test_another_namespaces_tokens_are_not_found(browser):
    user, _ = join()
    create_namespace(slug="rival", owner=User.objects.create_user("eve", password="x"))
    browser.force_login(user)
    assert browser.get("/n/rival/tokens").status_code == 404
    assert browser.post("/n/rival/tokens", {"name": "x", "role": "member", "days": "30"}).status_code == 404


def test_a_page_that_refuses_because_of_a_limit_says_when_to_try_again(client):
    for _ in range(logins.TRIES_PER_ACCOUNT + 1):
        answer = client.post("/login", {"name": "joe", "password": "wrong"}, headers={"host": "localhost"})
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= logins.ACCOUNT_WINDOW.total_seconds()
