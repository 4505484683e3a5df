"""Codes that strangers ask for and guess at in a person's name, from elsewhere, and what the person notices."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from server import Server, running_server

EMAIL, PASSWORD = "victim@example.org", "correct horse 7"
ELSEWHERE = "198.51.100.7"


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that believes a proxy in front of it from where its visitors come: here, from all over the world."""
    with running_server(tmp_path_factory.mktemp("codes"), MICRO_PROXIES_IN_FRONT="1") as running:
        yield running


def visitor(server: Server, address: str) -> httpx.Client:
    """Somebody's browser at an address."""
    return httpx.Client(
        base_url=f"http://localhost:{server.web_port}", headers={"X-Forwarded-For": address}, timeout=30
    )


def post(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Fill in the form of a page."""
    page = client.get(path, params={"email": fields.get("email", "")})
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found, page.text
    return client.post(path, data={**fields, "csrfmiddlewaretoken": found[1]})


def mails(server: Server) -> list[str]:
    """Every e-mail that went out, the oldest first."""
    files = [file for file in (server.home / "mail").iterdir() if file.name != "latest.txt"]
    return [file.read_text() for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]


def last_code(server: Server) -> str:
    found = re.search(r"^\s+(\d{6})$", mails(server)[-1], re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def victim(behind_a_proxy: Server) -> Iterator[httpx.Client]:
    """Somebody who has an account and is at home."""
    with visitor(behind_a_proxy, "192.0.2.1") as home:
        post(home, "/signup", email=EMAIL)
        fields = {"code": last_code(behind_a_proxy), "password": PASSWORD, "namespace": "victims"}
        assert post(home, "/signup/code", email=EMAIL, **fields).status_code == 302
        home.cookies.clear()
        yield home


def test_a_stranger_who_asks_and_guesses_shuts_nobody_out_and_floods_no_mailbox(
    behind_a_proxy: Server, victim: httpx.Client
):
    before = len(mails(behind_a_proxy))
    with visitor(behind_a_proxy, ELSEWHERE) as stranger:
        for _ in range(12):
            assert post(stranger, "/reset", email=EMAIL).status_code == 302
        for _ in range(7):
            wrong = post(stranger, "/reset/code", email=EMAIL, code="wrong", password="mallory's horse 1")
            assert wrong.status_code in {400, 422}
    assert len(mails(behind_a_proxy)) - before == 5
    assert post(victim, "/reset", email=EMAIL).status_code == 302
    code = last_code(behind_a_proxy)
    done = post(victim, "/reset/code", email=EMAIL, code=code, password="another horse 8")
    assert done.status_code == 302, done.text


def test_all_addresses_of_one_network_of_ipv6_are_one_stranger_who_is_told_when_to_come_back(behind_a_proxy: Server):
    told = []
    for number in range(32):
        with visitor(behind_a_proxy, f"2001:db8:1:2:{number:x}::1") as stranger:
            told.append(post(stranger, "/reset", email=f"u{number}@example.org"))
    assert [answer.status_code for answer in told[:30]] == [302] * 30
    assert told[-1].status_code == 429
    assert 0 < int(told[-1].headers["Retry-After"]) <= 3600
    with visitor(behind_a_proxy, "2001:db8:1:3::1") as neighbour:
        assert post(neighbour, "/reset", email="other@example.org").status_code == 302
