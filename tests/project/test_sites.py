"""Claims about whose requests the pages and the REST API answer, at which hosts, and with which cookies."""

from __future__ import annotations

import base64

import pytest
from django.test import Client
from joining import PASSWORD, join

from tenants import browsers
from tenants.operations import bootstrap

pytestmark = pytest.mark.django_db
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML) Version/17.4 Safari/605.1.15"
TYPED = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
OWN = "app.localhost:8082"
HERE = {"host": OWN, "user-agent": CHROME}
LISTED = "https://tools.example"


@pytest.fixture(autouse=True)
def server(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # these claims are not about its cost
    settings.MICRO_ALLOWED_ORIGINS = (LISTED,)
    bootstrap(admin_password="micro")


def log_in(**headers: str) -> Client:
    join()
    client = Client(headers=headers)
    assert client.post("/login", {"name": "joe@example.org", "password": PASSWORD}).status_code == 302
    return client


# --- hosts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", [CHROME, FIREFOX])
@pytest.mark.parametrize("host", ["localhost", "localhost:8082", "127.0.0.1:8082", "[::1]:8082", "LOCALHOST:9000"])
def test_a_browser_that_knows_names_below_localhost_is_moved_to_the_dashboards_own(client, agent, host):
    client.cookies.load({"micro": "old", "micro-device": "old", "theirs": "1"})
    answer = client.get("/login?next=/n/joe/", headers={"host": host, "user-agent": agent, **TYPED})
    port = "" if host == "localhost" else f":{host.rpartition(':')[2]}"
    assert (answer.status_code, answer["Location"]) == (302, f"http://app.localhost{port}/login?next=/n/joe/")
    assert {name for name, cookie in answer.cookies.items() if cookie["max-age"] == 0} == {"micro", "micro-device"}


@pytest.mark.parametrize(
    "headers",
    [
        {"user-agent": SAFARI, **TYPED},
        {"user-agent": CHROME},
        {"user-agent": "curl/8"},
        {"user-agent": CHROME, **TYPED, "sec-fetch-dest": "iframe"},
        {"user-agent": CHROME, **TYPED, "sec-fetch-mode": "cors"},
    ],
)
def test_nobody_else_is_moved(client, headers):
    assert client.get("/login", headers={"host": "localhost:8082", **headers}).status_code == 200


def test_nobody_is_moved_where_the_pages_have_a_host_of_their_own(client, settings):
    settings.MICRO_WEB_OWN_HOST = ""
    assert client.get("/login", headers={"host": "localhost:8082", "user-agent": CHROME, **TYPED}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "web--joe.localhost:8082", "joe.localhost", "x.app.localhost", "app.localhost.evil.example"],
)
@pytest.mark.parametrize("path", ["/", "/login", "/v1/services", "/healthz", "/admin/", "/static/micro/micro.css"])
def test_a_host_that_is_not_ours_is_answered_nothing(client, host, path):
    for method in (client.get, client.post):
        assert method(path, headers={"host": host}).status_code == 403


def test_outside_local_the_pages_are_at_their_own_host_alone(client, settings):
    settings.MICRO_PAGE_HOSTS = ("console.example",)
    settings.ALLOWED_HOSTS = ["console.example", "127.0.0.1"]
    for path in ("/", "/login", "/admin/", "/static/micro/micro.css"):
        assert client.get(path, headers={"host": "127.0.0.1:8082"}).status_code == 403
    assert client.get("/login", headers={"host": "console.example"}).status_code == 200
    for path, status in (("/healthz", 200), ("/v1/schema", 200), ("/v1/services", 401)):
        assert client.get(path, headers={"host": "127.0.0.1:8082"}).status_code == status


# --- other sites ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "marks",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:8080"},
        {"origin": "http://app.localhost:8080"},
        {"origin": "https://app.localhost:8082"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
    ],
)
def test_a_page_of_another_site_is_answered_nothing(marks):
    victim = log_in(**HERE)
    for path in ("/", "/n/joe/", "/login", "/v1/services", "/healthz", "/static/micro/micro.css", "/admin/"):
        for method in (victim.get, victim.post, victim.head, victim.options):
            answer = method(path, headers=marks)
            assert answer.status_code == 403, path
            assert "access-control-allow-origin" not in answer
    with_site = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", **marks}
    assert victim.post("/login", headers=with_site).status_code == 403


def test_a_link_from_another_site_is_followed():
    victim = log_in(**HERE)
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert victim.get("/n/joe/", headers=link).status_code == 200


def test_pages_of_ours_and_programs_are_answered():
    joe = log_in(**HERE)
    assert joe.get("/n/joe/", headers={"sec-fetch-site": "same-origin"}).status_code == 200
    assert joe.post("/logout", headers={"origin": f"http://{OWN}", "sec-fetch-site": "same-origin"}).status_code == 302
    assert Client().get("/v1/services", headers={"host": "localhost:8082"}).status_code == 401


def test_a_listed_origin_may_use_the_rest_api_and_no_page(client):
    marks = {"host": OWN, "origin": LISTED, "sec-fetch-site": "cross-site"}
    preflight = client.options("/v1/services", headers={**marks, "access-control-request-method": "POST"})
    assert preflight.status_code == 204
    assert "Authorization" in preflight["access-control-allow-headers"]
    asked = client.get("/v1/services", headers=marks)
    assert asked.status_code == 401
    for answer in (preflight, asked):
        assert answer["access-control-allow-origin"] == LISTED
        assert "Origin" in answer["vary"]
        assert "access-control-allow-credentials" not in answer
    assert client.get("/login", headers=marks).status_code == 403
    assert client.post("/login", headers=marks).status_code == 403


# --- cookies -------------------------------------------------------------------------------------------------------


def test_at_the_own_host_cookies_are_bound_to_it_by_their_prefix():
    client = log_in(**HERE)
    assert {name for name, cookie in client.cookies.items() if cookie.value} >= {"__Host-micro", "__Host-micro-device"}
    for cookie in client.cookies.values():
        assert cookie.key.startswith("__Host-")
        assert (cookie["path"], cookie["domain"]) == ("/", "")
        assert cookie["secure"]
        assert cookie["httponly"]
        assert cookie["samesite"] in ("Lax", "Strict")
    assert client.get("/n/joe/").status_code == 200
    client.post("/logout")
    assert client.get("/n/joe/").status_code == 302


def test_at_the_own_host_a_cookie_without_the_prefix_is_none():
    client = log_in(**HERE)
    tossed = Client(headers=HERE)
    tossed.cookies.load({"micro": client.cookies["__Host-micro"].value})
    assert tossed.get("/n/joe/").status_code == 302


def test_a_browser_that_takes_no_secure_cookies_over_http_has_plain_ones():
    client = log_in(host="localhost:8082", **{"user-agent": SAFARI})
    assert {"micro", "micro-device"} <= client.cookies.keys()
    assert not client.cookies["micro"]["secure"]
    assert client.get("/n/joe/").status_code == 200


def test_the_mark_of_a_browser_holds_no_address_and_is_good_for_one_account_alone():
    mark = browsers.mark("joe@example.org")
    assert browsers.known(mark, name=" Joe@Example.org ") == mark
    assert mark != browsers.mark("joe@example.org")
    for part in mark.split(":"):
        assert b"joe" not in base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    for other in (f"{mark}x", mark[1:], "", "::", mark.replace(":", "")):
        assert browsers.known(other, name="joe@example.org") == ""
    assert browsers.known(mark, name="eve@example.org") == ""


def test_no_answer_of_ours_may_be_embedded_elsewhere(client):
    for path in ("/", "/login", "/v1/schema", "/healthz", "/none"):
        answer = client.get(path, headers={"host": OWN})
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
