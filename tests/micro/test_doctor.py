"""`micro doctor` names what is missing, and the way out."""

from __future__ import annotations

import fcntl
import json
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def free_addresses():
    """The server's addresses, each free."""
    names = ("MICRO_API_ADDRESS", "MICRO_PROXY_ADDRESS", "MICRO_WEB_ADDRESS", "MICRO_NETWORK_ADDRESS")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    addresses = {name: f"127.0.0.1:{sock.getsockname()[1]}" for name, sock in zip(names, sockets, strict=True)}
    for sock in sockets:
        sock.close()
    return addresses


def found(user, *args, **env):
    """The exit code, and the findings by name; of several of one name those that are not ok come first."""
    done = user.micro("doctor", "--output=json", *args, **env)
    assert done.stderr == ""
    findings = sorted(json.loads(done.stdout), key=lambda finding: finding["state"] != "ok")
    return done.returncode, {finding["name"]: finding for finding in findings}


def test_a_machine_with_everything_is_well(user, free_addresses):
    code, findings = found(user, MICRO_SERVER=str(ROOT), **free_addresses)
    assert code == 0, findings
    assert {"micro", "files", "environment", "server", "login", "python", "git", "disk"} <= set(findings)
    assert findings["login"] == {
        "name": "login",
        "state": "ok",
        "detail": "admin, of the namespace micro",
        "remedy": "",
    }
    text = user.micro("doctor", MICRO_SERVER=str(ROOT), **free_addresses).stdout
    assert text.startswith("ok       micro ")


def test_a_server_that_is_away_is_missing(stranger):
    code, findings = found(stranger, MICRO_PROXY="127.0.0.1:1")
    assert code == 1
    assert findings["server"]["state"] == "missing"
    assert findings["server"]["remedy"] == "micro server, or micro env set NAME"
    done = stranger.micro("doctor", MICRO_PROXY="127.0.0.1:1")
    assert "→ micro server, or micro env set NAME" in done.stdout
    assert done.returncode == 1


def test_what_answers_but_is_no_server_of_ours_is_missing(stranger):
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, findings = found(stranger, MICRO_PROXY=f"127.0.0.1:{other.getsockname()[1]}")
    assert (code, findings["server"]["state"]) == (1, "missing")


def test_nobody_logged_in_is_a_warning_and_a_login_that_has_expired_is_missing(stranger, sidecar):
    code, findings = found(stranger)
    assert findings["login"]["state"] == "warning"
    stranger.login()
    sidecar._access.clear()
    sidecar._refresh.clear()
    sidecar.token_life_s = 0
    tokens = stranger.home / ".micro" / "tokens"
    assert tokens.exists()
    code, findings = found(stranger)
    assert (code, findings["login"]["state"], findings["login"]["remedy"]) == (1, "missing", "micro login")


def test_files_that_others_can_read_and_a_broken_config_are_named(user):
    (user.home / ".micro" / "tokens").chmod(0o644)
    _, findings = found(user)
    assert findings["files"]["remedy"] == f"chmod 600 {user.home}/.micro/tokens"
    (user.home / ".micro" / "config.json").write_text("{")
    code, findings = found(user)
    assert code == 1
    assert "config.json" in findings["config"]["remedy"]


def test_an_unknown_environment_is_missing(stranger):
    code, findings = found(stranger, MICRO_PROXY="", MICRO_ENV="nosuch")
    assert (code, findings["environment"]["state"]) == (1, "missing")
    assert "nosuch" in findings["environment"]["detail"]


def test_a_port_that_another_program_has_is_named_with_its_setting(stranger, free_addresses):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        settings = free_addresses | {"MICRO_WEB_ADDRESS": taken, "MICRO_PROXY": "127.0.0.1:1"}
        code, findings = found(stranger, MICRO_SERVER=str(ROOT), **settings)
    assert code == 1
    assert findings["port"]["detail"] == f"{taken} is taken by another program"
    assert findings["port"]["remedy"] == "set MICRO_WEB_ADDRESS to a free address"


@pytest.mark.parametrize(("left", "told"), [("0", ""), ("1", "1 process of it still runs"), ("9", "9 processes of it")])
def test_a_server_that_was_killed_and_left_processes_is_named_with_both_ways_out(user, tmp_path, left, told):
    checkout, state = tmp_path / "checkout", tmp_path / "state"
    (checkout / "platform" / "project").mkdir(parents=True)
    (checkout / "manage.py").write_text(
        f"import os, sys\nassert sys.argv[1:] == ['server', '--count']\nprint({left})\n"
    )
    state.mkdir()
    settings = {"MICRO_SERVER": str(checkout), "MICRO_HOME": str(state)}
    assert "supervisor" not in found(user, **settings)[1]
    (state / "server.lock").write_text("123")
    findings = found(user, **settings)[1]
    assert ("supervisor" in findings) == bool(told)
    if told:
        assert told in findings["supervisor"]["detail"]
        assert findings["supervisor"]["state"] == "missing"
        assert "micro server" in findings["supervisor"]["remedy"]
        assert "micro shutdown" in findings["supervisor"]["remedy"]
    with (state / "server.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "supervisor" not in found(user, **settings)[1]


def test_missing_programs_are_named_with_what_installs_them(stranger, tmp_path, free_addresses):
    settings = free_addresses | {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none"}
    code, findings = found(stranger, MICRO_SERVER=str(ROOT), **settings)
    assert code == 1
    assert findings["git"]["remedy"] == "apt-get install git"
    assert {findings[name]["state"] for name in ("go", "docker", "bubblewrap")} == {"warning"}
    assert findings["bubblewrap"]["remedy"] == "apt-get install bubblewrap"
