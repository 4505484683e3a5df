"""login, logout, user and env."""

from __future__ import annotations

import base64
import json
import os
import pty
import time

import pytest

from tests.micro.conftest import MICRO, User


def token_of(user: User) -> dict[str, object]:
    [line] = (user.home / ".micro" / "tokens").read_text().splitlines()
    return json.loads(base64.b64decode(line.rpartition(":")[2]))


def test_login_says_so_and_keeps_a_token_that_only_its_owner_may_read(stranger, sidecar):
    done = stranger.micro("login", "--username", "admin", "--password", "micro")
    assert (done.returncode, done.stdout) == (0, "Successfully logged in.\n")
    folder = stranger.home / ".micro"
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("tokens", "config.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert (folder / "tokens").read_text().startswith(f"micro://{sidecar.address}/micro/admin:")
    assert set(token_of(stranger)) == {"access_token", "refresh_token", "created", "expiry"}


def test_login_reads_what_is_missing_from_standard_input(stranger):
    done = stranger.micro("login", stdin="admin\nmicro\n")
    assert (done.returncode, done.stdout) == (0, "Successfully logged in.\n")
    assert "Enter username: " in done.stderr


def test_login_asks_on_a_terminal_without_showing_the_password(stranger):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(MICRO[0], [MICRO[0], "login", "--username=admin"], stranger.env)  # noqa: S606
    seen = b""
    while b"Enter password: " not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, b"micro\n")
    while b"Successfully" not in seen:
        seen += os.read(terminal, 1000)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"micro\r\n" not in seen.partition(b"Enter password: ")[2].partition(b"Successfully")[0]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--username=admin", "--password=wrong"], "Secret not correct"),
        (["--username=nobody", "--password=micro"], "Account not found with this ID"),
    ],
)
def test_a_login_that_fails_says_why(stranger, args, text):
    done = stranger.micro("login", *args)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{text}\n")


def test_an_expired_token_is_renewed_without_a_word(user, sidecar):
    old = token_of(user)
    path = user.home / ".micro" / "tokens"
    key = path.read_text().rpartition(":")[0]
    path.write_text(f"{key}:{base64.b64encode(json.dumps(old | {'expiry': int(time.time()) + 5}).encode()).decode()}\n")
    done = user.micro("status")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert token_of(user)["access_token"] != old["access_token"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_that_cannot_be_renewed_is_like_none(user, sidecar):
    path = user.home / ".micro" / "tokens"
    key = path.read_text().rpartition(":")[0]
    stale = {"access_token": "a", "refresh_token": "b", "created": 1, "expiry": 2}
    path.write_text(f"{key}:{base64.b64encode(json.dumps(stale).encode()).decode()}\n")
    done = user.micro("status")
    assert done.returncode == 2
    assert done.stderr.startswith("Not authorized to perform this request\n")


def test_logout_is_silent_and_forgets(user):
    done = user.micro("logout")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (user.home / ".micro" / "tokens").read_text() == ""
    assert user.micro("user").stderr == "You are not logged in\n"


def test_user_prints_the_name_of_who_is_logged_in(user, stranger):
    assert user.micro("user").stdout == "admin\n"
    assert user.micro("user", "token").stdout.strip() == token_of(user)["access_token"]
    assert "user: admin\nnamespace: micro\nenvironment: local\n" in user.micro("user", "config").stdout


def test_a_namespace_can_be_chosen(user, sidecar):
    assert user.micro("user", "namespace").stdout == "micro\n"
    assert user.micro("user", "namespace", "set", "shop").stdout == ""
    assert user.micro("user", "namespace").stdout == "shop\n"
    assert user.micro("--namespace", "other", "user", "namespace").stdout == "other\n"
    assert user.micro("user", "namespace", MICRO_NAMESPACE="third").stdout == "third\n"


def test_a_service_account_in_the_environment_needs_no_login(stranger, sidecar):
    assert stranger.micro("user", MICRO_AUTH_ID="admin", MICRO_AUTH_SECRET="micro").stdout == "admin\n"
    assert stranger.micro("--auth_id=admin", "--auth_secret=micro", "user").stdout == "admin\n"


def test_environments_are_shown_chosen_added_and_deleted(stranger):
    names = [line.split()[-4 if "*" in line else 0] for line in stranger.micro("env").stdout.splitlines()]
    assert [line[2:].split()[0] for line in stranger.micro("env").stdout.splitlines()] == ["local", "dev", "platform"]
    assert names
    assert stranger.micro("env", "get").stdout == "local\n"
    assert stranger.micro("env", "add", "mine", "10.0.0.1:8081").stdout == ""
    assert stranger.micro("env", "set", "mine").stdout == ""
    assert stranger.micro("env", "get").stdout == "mine\n"
    assert "* mine" in stranger.micro("env").stdout
    assert stranger.micro("env", "del", "mine").returncode == 1
    assert stranger.micro("env", "get", MICRO_ENV="dev").stdout == "dev\n"
    assert stranger.micro("-e", "dev", "env", "get").stdout == "dev\n"
    stranger.micro("env", "set", "local")
    assert stranger.micro("env", "del", "mine").returncode == 0
    assert "mine" not in stranger.micro("env").stdout
    envs = json.loads((stranger.home / ".micro" / "config.json").read_text())["envs"]
    assert json.loads(envs) == {}


def test_an_environment_that_is_not_there_is_named(stranger):
    done = stranger.micro("env", "set", "nosuch")
    assert (done.returncode, done.stdout, done.stderr) == (128, "", "Environment 'nosuch' does not exist\n")
    done = stranger.micro("-env", "nosuch", "services", MICRO_PROXY="")
    assert 'Env "nosuch" not found. See `micro env` for available environments.' in done.stderr


def test_a_config_file_of_its_own_can_be_named(stranger, tmp_path):
    stranger.micro("-c", tmp_path / "other.json", "env", "set", "dev")
    assert json.loads((tmp_path / "other.json").read_text()) == {"env": "dev"}
    assert stranger.micro("env", "get", MICRO_CONFIG_FILE=str(tmp_path / "other.json")).stdout == "dev\n"
    assert stranger.micro("env", "get").stdout == "local\n"


def test_a_damaged_config_file_is_named(stranger):
    (stranger.home / ".micro").mkdir(exist_ok=True)
    (stranger.home / ".micro" / "config.json").write_text("{nonsense")
    done = stranger.micro("env")
    assert done.returncode != 0
    assert "config.json is not valid JSON" in done.stderr
    assert "Traceback" not in done.stderr
