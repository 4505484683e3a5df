"""Attacks on the dashboard's cookies by pages and services of a tenant, with a real browser between them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from browsing import require_chromium
from hostile_pages import SAFARI, Victim, deceived_chromium, deploy, doors
from playwright.sync_api import Browser
from server import Server

OURS = ("micro", "micro-csrf", "micro-device")


@pytest.fixture(scope="module")
def evil(attacked: Server, mallory: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The attacked server with a hostile service of mallory's, and one of the operator's own at every path."""
    folder = tmp_path_factory.mktemp("evil")
    deploy(mallory, folder / "mallory", "mallory")
    deploy(attacked, folder / "micro", "micro")
    return attacked


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require_chromium()
    with deceived_chromium() as browser:
        yield browser


@pytest.fixture
def victim(evil: Server, browser: Browser) -> Iterator[Victim]:
    """The operator, logged in with a browser that knows names below localhost."""
    context = browser.new_context()
    victim = Victim(evil, context)
    victim.log_in()
    yield victim
    context.close()


def places(server: Server, dashboard: str) -> list[str]:
    """Where the hostile services are, at every door and under every host that a browser can be lured to."""
    found = []
    for port in doors(server).values():
        found += [f"http://evil--{namespace}.localhost:{port}" for namespace in ("mallory", "micro")]
        hosts = ("localhost", "mallory.localhost", "127.0.0.1", "evil.example", dashboard)
        found += [f"http://{host}:{port}/evil" for host in hosts]
    return found


def seen(server: Server) -> list[str]:
    """Every Cookie header that the hostile services have got."""
    hosts = [f"evil--{namespace}.localhost" for namespace in ("mallory", "micro")]
    return [header for host in hosts for header in server.get("/seen", host=host).json()]


def test_the_dashboard_moves_to_a_host_of_its_own_with_cookies_bound_to_it(victim: Victim):
    assert victim.page.url.startswith(f"http://app.localhost:{victim.server.web_port}/")
    cookies = {cookie["name"]: cookie for cookie in victim.context.cookies()}
    assert set(cookies) == {f"__Host-{name}" for name in OURS}
    for cookie in cookies.values():
        assert (cookie["domain"], cookie["path"]) == ("app.localhost", "/")
        assert cookie["httpOnly"]
        assert cookie["secure"]
        assert cookie["sameSite"] in ("Lax", "Strict")
    assert "admin" not in cookies["__Host-micro-device"]["value"]


@pytest.mark.parametrize("user_agent", [None, SAFARI], ids=["own host", "at localhost"])
def test_no_service_gets_a_cookie_of_the_dashboard_at_any_door_host_or_path(evil: Server, browser: Browser, user_agent):
    context = browser.new_context(user_agent=user_agent)
    victim = Victim(evil, context)
    victim.log_in()
    dashboard = "localhost" if user_agent else "app.localhost"
    assert victim.page.url.startswith(f"http://{dashboard}:")
    for place in places(evil, dashboard):
        context.add_cookies([{"name": "tenants", "value": "1", "url": place}])
        victim.page.goto(f"{place}/page")
    cookies = [header for header in seen(evil) if "tenants=1" in header]
    assert len(cookies) >= len(doors(evil)) * 4
    assert "micro" not in " ".join(cookies).lower()
    victim.page.goto(f"http://{dashboard}:{evil.web_port}/n/micro/")
    assert victim.page.url.endswith("/n/micro/")
    context.close()


def test_no_service_is_at_the_dashboards_host(victim: Victim):
    for port in doors(victim.server).values():
        for host in ("app.localhost", "APP.LOCALHOST", "app.localhost."):
            answer = victim.page.goto(f"http://{host}:{port}/evil/page")
            assert answer
            assert answer.status == 404, (host, port)


@pytest.mark.parametrize("user_agent", [None, SAFARI], ids=["own host", "at localhost"])
def test_no_service_plants_a_cookie_of_the_dashboards_or_one_for_others(evil: Server, browser: Browser, user_agent):
    context = browser.new_context(user_agent=user_agent)
    victim = Victim(evil, context)
    victim.log_in()
    before = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
    names = [prefix + name for name in OURS for prefix in ("", "__Host-", "=", " ", "=__Host-", "\t")]
    spelled = [
        f"{name}=planted; {rest}"
        for name in names
        for rest in ("Path=/; Secure", "Path=foo; Path=/", "Domain=localhost")
    ]
    spelled += [
        f"other{n}=1; {rest}"
        for n, rest in enumerate(("Path=foo; Path=/", "Path=/; Domain=localhost; Path=/", "Secure"))
    ]
    for place in places(evil, "localhost"):
        for some in (spelled[:28], spelled[28:]):
            victim.page.goto(f"{place}/page?{urlencode([('Set-Cookie', each) for each in some])}")
        victim.page.goto(f"{place}?{urlencode({'Set-Cookie': 'bare=1'})}")
    after = context.cookies()
    assert {cookie["name"]: cookie["value"] for cookie in after if cookie["name"] in before} == before
    planted = [cookie for cookie in after if cookie["name"] not in before]
    assert any(cookie["name"].startswith("other") for cookie in planted)
    assert not [cookie for cookie in planted if "micro" in cookie["name"].lower() or "micro" in cookie["value"].lower()]
    mounted = [cookie for cookie in planted if "--" not in cookie["domain"]]
    assert mounted
    assert {cookie["path"] for cookie in mounted} == {"/evil"}
    assert not [cookie for cookie in planted if cookie["domain"].startswith(".")]
    context.close()


def test_a_session_of_the_time_before_is_taken_off_the_shared_host(evil: Server, browser: Browser):
    context = browser.new_context()
    url = f"http://localhost:{evil.web_port}"
    context.add_cookies([{"name": name, "value": "old", "url": url} for name in OURS])
    page = context.new_page()
    page.goto(f"{url}/login")
    assert not [cookie for cookie in context.cookies() if cookie["domain"] == "localhost"]
    context.close()


def test_nothing_of_a_name_or_an_address_is_in_the_mark_of_a_known_browser(victim: Victim):
    mark = next(cookie["value"] for cookie in victim.context.cookies() if cookie["name"].endswith("device"))
    for part in mark.split(":"):
        padded = part + "=" * (-len(part) % 4)
        assert b"admin" not in base64.urlsafe_b64decode(padded)
