"""Claims about what a server refuses to start with, where people are concerned."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from project import strangers
from project.server import backend
from project.server.errors import CannotRun
from project.server.plan import from_settings
from runtime.backends import choice

ROOT = Path(__file__).parents[2]
ADDRESSES = ["MICRO_WEB_ADDRESS", "MICRO_API_ADDRESS", "MICRO_PROXY_ADDRESS", "MICRO_NETWORK_ADDRESS"]
SHOW = "from project import settings as s; print({name!r}, repr(getattr(s, {name!r})))"


@pytest.fixture
def start(tmp_path: Path):
    """Reads the settings as every process of a server does; what is said when that fails, else blank."""

    def run(show: str = "DEBUG", **environment: str) -> str:
        environment = {"MICRO_BACKEND": "process", **environment}
        env = {"PATH": os.environ["PATH"], "MICRO_HOME": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}
        command = [sys.executable, "-c", SHOW.format(name=show)]
        done = subprocess.run(command, env={**env, **environment}, capture_output=True, text=True, check=False)
        return done.stderr.strip() if done.returncode else done.stdout.strip()

    return run


@pytest.mark.parametrize("variable", ADDRESSES)
@pytest.mark.parametrize("address", [":18080", "192.0.2.1:18080", "[::]:18080"])
def test_strangers_code_as_this_user_on_an_open_address_is_refused(start, variable, address):
    said = start(**{variable: address})
    assert said.startswith(f"{variable} is ")
    assert "Set MICRO_SIGNUP=closed" in said
    assert "Traceback" not in said
    assert start(**{variable: address, "MICRO_SIGNUP": "closed"}) == "DEBUG False"


def test_the_platform_profile_opens_sign_up_only_when_told_and_only_on_loopback(start):
    platform = {"MICRO_PROFILE": "platform", "MICRO_WEB_ADDRESS": ":18082"}
    assert start("MICRO_SIGNUP_IS_OPEN", **platform) == "MICRO_SIGNUP_IS_OPEN False"
    assert "MICRO_WEB_ADDRESS is 0.0.0.0:18082" in start(**platform, MICRO_SIGNUP="open")
    assert start(**{**platform, "MICRO_WEB_ADDRESS": "127.0.0.9:1"}, MICRO_SIGNUP="open") == "DEBUG False"


def test_sign_up_is_open_on_ones_own_machine(start):
    assert start("MICRO_SIGNUP_IS_OPEN") == "MICRO_SIGNUP_IS_OPEN True"


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://app.example.org/below", "app.example.org"])
def test_a_web_url_that_is_none_is_named(start, url):
    assert start(MICRO_WEB_URL=url).startswith("MICRO_WEB_URL is '")


def test_pages_that_share_a_domain_with_tenants_services_are_refused(start):
    names = {"MICRO_PROFILE": "platform", "MICRO_BASE_DOMAIN": "apps.example.org"}
    for host in ("apps.example.org", "www.apps.example.org", "example.org", "console.example.org", "APPS.example.org"):
        assert "give the pages a domain of their own" in start(**names, MICRO_WEB_URL=f"https://{host}")
        further = {"MICRO_WEB_URL": "https://console.example.net", "MICRO_ALLOWED_HOSTS": f"other.example.net,{host}"}
        assert "give the pages a domain of their own" in start(**names, **further)
    for host in ("console.example.net", "10.1.2.3", "localhost"):
        assert start(**names, MICRO_WEB_URL=f"https://{host}") == "DEBUG False"
    assert "names every host" in start(**names, MICRO_WEB_URL="https://console.example.net", MICRO_ALLOWED_HOSTS="*")


def test_who_has_registered_a_domain_is_known_where_it_has_three_parts(start):
    names = {"MICRO_PROFILE": "platform", "MICRO_BASE_DOMAIN": "apps.example.co.uk"}
    assert "a domain of their own" in start(**names, MICRO_WEB_URL="https://console.example.co.uk")
    assert start(**names, MICRO_WEB_URL="https://console.other.co.uk") == "DEBUG False"


def test_at_localhost_the_pages_have_a_host_of_their_own_in_every_profile(start):
    assert start("MICRO_DASHBOARD_HOSTS") == "MICRO_DASHBOARD_HOSTS ('app.localhost',)"
    assert "'localhost'" not in start("MICRO_DASHBOARD_HOSTS", MICRO_WEB_URL="http://localhost:1")
    shared = start(MICRO_PROFILE="platform", MICRO_WEB_URL="http://localhost:8082")
    assert "The pages at localhost (MICRO_WEB_URL" in shared
    assert start("MICRO_WEB_URL", MICRO_PROFILE="platform") == "MICRO_WEB_URL 'http://app.localhost:8082'"
    assert start("MICRO_PAGE_HOSTS", MICRO_PROFILE="platform") == "MICRO_PAGE_HOSTS ('app.localhost',)"


def test_in_local_services_stay_at_the_addresses_of_this_machine(start):
    for url in ("http://192.168.1.5:8082", "http://[fd00::5]:8082", "http://127.0.0.1:8082"):
        assert start("MICRO_DASHBOARD_HOSTS", MICRO_WEB_URL=url) == "MICRO_DASHBOARD_HOSTS ()"
    named = start("MICRO_DASHBOARD_HOSTS", MICRO_WEB_URL="http://box.lan:8082", MICRO_ALLOWED_HOSTS="other.lan")
    assert named == "MICRO_DASHBOARD_HOSTS ('box.lan',)"


@pytest.mark.parametrize(
    "origin", ["null", "*", "https://a.example/", "a.example", "ftp://a.example", "https://*.a.example"]
)
def test_an_origin_that_no_browser_sends_is_named(start, origin):
    assert start(MICRO_ALLOWED_ORIGINS=f"https://a.example,{origin}").startswith(
        f"MICRO_ALLOWED_ORIGINS names {origin!r}"
    )


def test_origins_are_listed_in_small_letters(start):
    origins = start("MICRO_ALLOWED_ORIGINS", MICRO_ALLOWED_ORIGINS="https://A.example, http://[::1]:3000")
    assert origins == "MICRO_ALLOWED_ORIGINS ('https://a.example', 'http://[::1]:3000')"


def test_cookies_are_bound_to_the_host_where_there_is_tls(start):
    assert start("SESSION_COOKIE_NAME", MICRO_WEB_URL="https://app.example.org") == "SESSION_COOKIE_NAME '__Host-micro'"
    assert start("SESSION_COOKIE_SECURE", MICRO_WEB_URL="https://app.example.org") == "SESSION_COOKIE_SECURE True"
    assert start("SESSION_COOKIE_SECURE") == "SESSION_COOKIE_SECURE False"


def test_the_host_of_the_web_url_is_answered(start):
    assert "'app.example.org'" in start("ALLOWED_HOSTS", MICRO_WEB_URL="https://app.example.org")


def test_a_mail_server_that_is_none_is_named(start):
    assert start(MICRO_EMAIL_URL="mailto:x").startswith("MICRO_EMAIL_URL is no smtp://")
    assert start("EMAIL_PORT", MICRO_EMAIL_URL="smtp://u:p@mail.example.org:587") == "EMAIL_PORT 587"
    assert start("EMAIL_USE_TLS", MICRO_EMAIL_URL="smtp://u:p@mail.example.org:587") == "EMAIL_USE_TLS True"
    assert start("EMAIL_PORT", MICRO_EMAIL_URL="smtps://mail.example.org") == "EMAIL_PORT 465"


@pytest.mark.parametrize("variable", ADDRESSES)
def test_a_backend_that_turns_out_to_be_processes_is_refused_when_it_is_settled(variable, monkeypatch, settings):
    monkeypatch.setattr(choice, "_found", lambda: choice.PROCESS)
    settings.MICRO_BACKEND, settings.MICRO_SIGNUP_IS_OPEN = choice.AUTO, True
    plan = replace(from_settings(), addresses={**from_settings().addresses, variable: ("0.0.0.0", 18080)})  # noqa: S104
    with pytest.raises(CannotRun, match=f"{variable} is 0.0.0.0:18080, sign-up is open"):
        backend.settle(plan)


def test_containers_may_have_open_addresses_and_open_sign_up(start):
    assert start(MICRO_BACKEND="docker", MICRO_WEB_ADDRESS=":18082") == "DEBUG False"


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("::ffff:192.0.2.1", False),
     ("0.0.0.0", False), ("::", False), ("127.example.org", False), ("10.0.0.1", False), ("localhost.example", False)],  # noqa: S104
)  # fmt: skip
def test_only_what_this_machine_alone_reaches_is_loopback(host, is_loopback):
    assert strangers.is_loopback(host) is is_loopback
