"""Claims about what is looked at before a server starts: each failure is one sentence with the way out."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from project.embedded import nats
from project.server import checks
from project.server.errors import CannotRun, from_os_error
from project.server.plan import Plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        root=Path(__file__).parents[2],
        home=tmp_path / "home",
        run=Path(f"/tmp/micro-test-{os.getpid()}"),  # noqa: S108
        profile="local",
        addresses={"MICRO_WEB_ADDRESS": ("127.0.0.1", 0)},
        embedded=frozenset({"postgres", "valkey", "nats"}),
        sidecars=1,
    )


@pytest.fixture(autouse=True)
def _run_folder_goes(plan):
    yield
    shutil.rmtree(plan.run, ignore_errors=True)


def refusal(check, *args, **kwargs) -> str:
    with pytest.raises(CannotRun) as caught:
        check(*args, **kwargs)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_a_machine_with_everything_may_start(plan):
    checks.check_folders(plan)
    checks.check(plan)
    assert plan.home.stat().st_mode & 0o777 == 0o700


def test_a_port_in_use_is_named_with_its_variable_and_its_holder(plan):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken_plan = replace(plan, addresses={"MICRO_API_ADDRESS": ("127.0.0.1", port)})
        sentence = refusal(checks.check_addresses, taken_plan)
    assert f"127.0.0.1:{port} (MICRO_API_ADDRESS) is in use by " in sentence
    assert f"(pid {os.getpid()})" in sentence
    assert "set MICRO_API_ADDRESS to a free address" in sentence


def test_a_port_that_shares_itself_with_others_counts_as_in_use(plan):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as Envoy does
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        taken_plan = replace(plan, addresses={"MICRO_API_ADDRESS": taken.getsockname()})
        assert "is in use" in refusal(checks.check_addresses, taken_plan)


def test_two_addresses_that_are_the_same_are_refused(plan):
    names = ["MICRO_WEB_ADDRESS", "MICRO_API_ADDRESS"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    same = replace(plan, addresses=dict.fromkeys(names, ("127.0.0.1", port)))
    assert f"MICRO_WEB_ADDRESS and MICRO_API_ADDRESS are both 127.0.0.1:{port}" in refusal(checks.check_addresses, same)


def test_an_address_of_another_machine_is_refused(plan):
    other = replace(plan, addresses={"MICRO_API_ADDRESS": ("192.0.2.1", 8080)})
    assert "192.0.2.1:8080 (MICRO_API_ADDRESS) cannot be listened on" in refusal(checks.check_addresses, other)


def test_a_full_disk_is_named_with_what_is_needed(tmp_path):
    free_bytes = shutil.disk_usage(tmp_path).free
    sentence = refusal(checks.check_space, tmp_path, least=free_bytes + 2**30)
    assert f"The disk of {tmp_path} is full" in sentence
    assert "set MICRO_HOME" in sentence


def test_a_missing_part_is_named_with_the_command_that_installs_it(plan, monkeypatch, tmp_path):
    monkeypatch.setattr(nats, "binary", lambda: tmp_path / "nats-server")
    sentence = refusal(checks.check_parts, plan)
    assert "nats-server is missing" in sentence
    assert "make install" in sentence


def test_a_server_whose_url_is_set_need_not_be_installed(plan, monkeypatch, tmp_path):
    monkeypatch.setattr(nats, "binary", lambda: tmp_path / "nats-server")
    checks.check_parts(replace(plan, embedded=frozenset({"postgres", "valkey"})))


def test_a_socket_folder_that_is_too_long_is_refused_by_name(plan, tmp_path):
    assert "set MICRO_RUN to a short folder" in refusal(checks.check_folders, replace(plan, run=tmp_path / ("x" * 80)))


def test_a_socket_folder_that_anybody_may_write_is_refused(plan):
    plan.run.mkdir(parents=True)
    plan.run.chmod(0o777)
    assert f"{plan.run} is not a folder of this user's alone" in refusal(checks.check_folders, plan)


def test_a_socket_folder_that_is_a_link_is_refused(plan, tmp_path):
    plan.run.symlink_to(tmp_path)
    try:
        assert "is not a folder of this user's alone" in refusal(checks.check_folders, plan)
    finally:
        plan.run.unlink()


def test_running_out_of_disk_while_starting_is_the_same_sentence(tmp_path):
    error = OSError(28, "No space left on device", str(tmp_path / "x"))
    assert str(from_os_error(error, doing="Starting")).startswith(f"The disk is full ({tmp_path / 'x'})")
