"""Claims about what the operator reads when a server is ready."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from project.server.plan import Plan, reachable, text
from project.server.progress import welcome


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    ports = {"WEB": 8082, "API": 8080, "PROXY": 8081, "NETWORK": 8443}
    return Plan(
        root=tmp_path,
        home=tmp_path,
        run=tmp_path,
        profile="local",
        addresses={f"MICRO_{name}_ADDRESS": ("127.0.0.1", port) for name, port in ports.items()},
        embedded=frozenset(),
        sidecars=1,
    )


def test_a_ready_server_shows_its_addresses_the_login_and_the_next_command(plan):
    shown = welcome(plan, 3.21)
    assert "micro is ready after 3.2 s." in shown
    assert "http://localhost:8082" in shown
    assert "http://localhost:8080" in shown
    assert "admin / micro" in shown
    assert "micro login --username admin --password micro && micro run examples/helloworld" in shown


def test_a_server_on_other_ports_says_how_the_client_finds_it(plan):
    moved = replace(plan, addresses={**plan.addresses, "MICRO_PROXY_ADDRESS": ("127.0.0.1", 9)})
    assert "MICRO_PROXY=127.0.0.1:9 micro run examples/helloworld" in welcome(moved, 1)


def test_a_password_of_the_operators_own_is_never_shown(plan):
    shown = welcome(replace(plan, has_known_login=False), 1)
    assert "--password" not in shown
    assert "with the password from MICRO_ADMIN_PASSWORD" in shown


@pytest.mark.parametrize(
    ("address", "written", "called"),
    [
        (("127.0.0.1", 1), "127.0.0.1:1", "localhost:1"),
        (("0.0.0.0", 1), "0.0.0.0:1", "localhost:1"),  # noqa: S104
        (("::1", 1), "[::1]:1", "localhost:1"),
        (("10.1.2.3", 1), "10.1.2.3:1", "10.1.2.3:1"),
    ],
)
def test_addresses_are_written_as_one_types_them(address, written, called):
    assert (text(address), reachable(address)) == (written, called)
