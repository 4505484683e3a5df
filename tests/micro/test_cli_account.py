"""login, logout, user and env."""

from __future__ import annotations

import base64
import json
import os
import pty
import time

import pytest

from tests.certificates import Authority
from tests.fakes import FakeAccount
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
        (
            ["--username=admin", "--password=wrong"],
            "Secret not correct: it is not the password of admin in the namespace micro of {address}.",
        ),
        (
            ["--username=nobody", "--password=micro"],
            "Account not found with this ID: there is no nobody in the namespace micro of {address}; "
            "`micro user namespace set NAME` chooses another one.",
        ),
    ],
)
def test_a_login_that_fails_says_why_in_one_sentence(stranger, sidecar, args, text):
    done = stranger.micro("login", *args)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{text.format(address=sidecar.address)}\n")


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


def test_logins_to_several_namespaces_stand_side_by_side(user, sidecar):
    sidecar.accounts["shop", "joe"] = FakeAccount("secret")
    assert user.micro("--namespace=shop", "login", "--username=joe", "--password=secret").returncode == 0
    for namespace, name in (("micro", "admin"), ("shop", "joe"), ("micro", "admin")):
        user.micro("user", "namespace", "set", namespace)
        assert user.micro("user").stdout == f"{name}\n"
        assert f"user: {name}\nnamespace: {namespace}\n" in user.micro("user", "config").stdout
    user.micro("logout")
    assert user.micro("user").stderr == "You are not logged in\n"


def test_logging_out_brings_no_earlier_login_back(user, sidecar):
    sidecar.accounts["micro", "joe"] = FakeAccount("secret")
    assert user.micro("login", "--username=joe", "--password=secret").returncode == 0
    assert user.micro("user").stdout == "joe\n"
    user.micro("logout")
    assert user.micro("user").stderr == "You are not logged in\n"


def test_a_service_account_in_the_environment_needs_no_login(stranger, sidecar):
    assert stranger.micro("user", MICRO_AUTH_ID="admin", MICRO_AUTH_SECRET="micro").stdout == "admin\n"
    assert stranger.micro("--auth_id=admin", "--auth_secret=micro", "user").stdout == "admin\n"


@pytest.mark.parametrize(
    ("before", "env", "way_in"),
    [
        (
            [],
            {"MICRO_PROXY": ":{port}"},
            "You are not logged in to the namespace micro at :{port}, which MICRO_PROXY names: "
            "log in with `micro login`.",
        ),
        (
            ["--namespace=shop", "--proxy_address=localhost:{port}"],
            {},
            "You are not logged in to the namespace shop at localhost:{port}: "
            "log in with `micro --namespace shop --proxy_address localhost:{port} login`.",
        ),
        (
            [],
            {"MICRO_AUTH_ID": "admin", "MICRO_AUTH_SECRET": "x"},
            "MICRO_AUTH_ID and MICRO_AUTH_SECRET say who you are: look at them.",
        ),
    ],
)
def test_a_login_elsewhere_is_none_here_and_the_way_in_names_where(user, sidecar, before, env, way_in):
    port = sidecar.address.rpartition(":")[2]
    given = {name: value.format(port=port) for name, value in env.items()}
    done = user.micro(*(each.format(port=port) for each in before), "status", **given)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Not authorized to perform this request\n{way_in.format(port=port)}\n"


def test_environments_are_shown_chosen_added_and_deleted(stranger):
    shown = [line[2:].split()[:2] for line in stranger.micro("env").stdout.splitlines()]
    assert shown == [["local", "127.0.0.1:8081"], ["platform", "none"]]
    assert stranger.micro("env", "get").stdout == "local\n"
    assert stranger.micro("env", "add", "mine", "10.0.0.1:8081").stdout == ""
    assert stranger.micro("env", "set", "mine").stdout == ""
    assert stranger.micro("env", "get").stdout == "mine\n"
    assert "* mine" in stranger.micro("env").stdout
    done = stranger.micro("env", "del", "mine")
    assert (done.returncode, done.stdout) == (128, "")
    assert done.stderr.startswith("Environment 'mine' is your current environment: ")
    assert stranger.micro("env", "get", MICRO_ENV="platform").stdout == "platform\n"
    assert stranger.micro("-e", "platform", "env", "get").stdout == "platform\n"
    stranger.micro("env", "set", "local")
    assert stranger.micro("env", "del", "mine").returncode == 0
    assert "mine" not in stranger.micro("env").stdout
    envs = json.loads((stranger.home / ".micro" / "config.json").read_text())["envs"]
    assert json.loads(envs) == {}


def test_the_platform_has_the_address_that_the_user_adds(stranger):
    assert "built in" in stranger.micro("env", "del", "platform").stderr
    done = stranger.micro("-e", "platform", "services", MICRO_PROXY="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'Env "platform" has no address: say it with `micro env add platform HOST:PORT`.\n'
    address = stranger.env["MICRO_PROXY"]
    assert stranger.micro("env", "add", "platform", address).returncode == 0
    assert f"platform   {address}" in stranger.micro("env").stdout
    assert "m3o" not in stranger.micro("env").stdout
    done = stranger.micro("-e", "platform", "services", MICRO_PROXY="")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert stranger.micro("env", "del", "platform").returncode == 0
    assert "none" in stranger.micro("env").stdout


def test_an_environment_that_is_not_there_is_named(stranger):
    done = stranger.micro("env", "set", "nosuch")
    assert (done.returncode, done.stdout, done.stderr) == (128, "", "Environment 'nosuch' does not exist\n")
    done = stranger.micro("-env", "nosuch", "services", MICRO_PROXY="")
    assert (done.returncode, done.stdout) == (128, "")
    assert done.stderr == 'Env "nosuch" not found. See `micro env` for available environments.\n'


def test_a_config_file_of_its_own_can_be_named(stranger, tmp_path):
    stranger.micro("-c", tmp_path / "other.json", "env", "set", "platform")
    assert json.loads((tmp_path / "other.json").read_text()) == {"env": "platform"}
    assert stranger.micro("env", "get", MICRO_CONFIG_FILE=str(tmp_path / "other.json")).stdout == "platform\n"
    assert stranger.micro("env", "get").stdout == "local\n"


def test_a_damaged_config_file_is_named(stranger):
    (stranger.home / ".micro").mkdir(exist_ok=True)
    (stranger.home / ".micro" / "config.json").write_text("{nonsense")
    done = stranger.micro("env")
    assert done.returncode != 0
    assert "config.json is not valid JSON" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_is_kept_with_its_authority_and_described(stranger, tmp_path):
    authority = Authority(tmp_path / "ca")
    done = stranger.micro(
        "env", "add", "work", "https://micro.example.com", "--ca", authority.file, "--description=Ours"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    stranger.micro("env", "set", "work")
    [work] = [each for each in json.loads(stranger.micro("env", "-o", "json").stdout) if each["is_current"]]
    assert work == {
        "name": "work",
        "address": "https://micro.example.com",
        "description": "Ours",
        "ca": str(authority.file),
        "is_current": True,
    }
    assert json.loads(stranger.micro("env", "get", "--output=json").stdout) == {"name": "work"}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["a.b", "host:1"], "Invalid name: 'a.b'"),
        (["mine", "host:1/path"], "Invalid address: host:1/path"),
        *[
            (["mine", address], f"Invalid address: {address}")
            for address in ("host:x", "host:70000", "host:0", "::1:80")
        ],
        (["mine", "joe@host"], "Invalid address: joe@host"),
        (["mine", "https://"], "Invalid address: https://"),
        (["local", "host:1"], "Environment 'local' is built in"),
        (["mine", "host:1", "--ca=nosuch.pem"], "There is no file nosuch.pem."),
    ],
)
def test_an_environment_that_cannot_be_is_refused(stranger, args, text):
    done = stranger.micro("env", "add", *args)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr


@pytest.mark.parametrize("address", ["host", ":8081", "[::1]:8081", "[::1]", "https://host/", "http://größe:1", ""])
def test_an_environment_has_any_address_that_can_be_dialled(stranger, address):
    done = stranger.micro("env", "add", "mine", address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert f"mine       {address or 'none'}" in stranger.micro("env").stdout


def test_namespaces_and_git_credentials_belong_to_an_environment(stranger):
    stranger.micro("env", "add", "work")
    stranger.micro("-e", "work", "user", "namespace", "set", "shop")
    assert stranger.micro("-e", "work", "user", "namespace").stdout == "shop\n"
    assert stranger.micro("user", "namespace").stdout == "micro\n"
    stranger.micro("-e", "work", "user", "config", "set", "git.credentials.github", "secret")
    assert stranger.micro("-e", "work", "user", "config", "get", "git.credentials.github").stdout == "secret\n"
    assert stranger.micro("user", "config", "get", "git.credentials.github").stdout == "\n"
    assert "git.credentials: [hidden]" in stranger.micro("-e", "work", "user", "config").stdout
    assert "git.credentials: n/a" in stranger.micro("user", "config").stdout
    stranger.micro("-e", "work", "user", "config", "delete", "git.credentials.github")
    assert stranger.micro("-e", "work", "user", "config", "get", "git.credentials.github").stdout == "\n"


def test_a_subtree_of_the_settings_is_compact_json(stranger):
    stranger.micro("user", "config", "set", "a.b", "c")
    assert stranger.micro("user", "config", "get", "a").stdout == '{"b":"c"}\n'


def test_a_setting_without_a_key_is_refused(stranger):
    for args in (["delete"], ["delete", ""], ["set", "", "x"]):
        done = stranger.micro("user", "config", *args)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "Key cannot be blank\n")


def test_what_micro_3_kept_for_all_environments_is_found_in_each(stranger):
    (stranger.home / ".micro").mkdir()
    (stranger.home / ".micro" / "config.json").write_text('{"git": {"credentials": {"gitlab": "old"}}}')
    stranger.micro("env", "add", "work")
    assert stranger.micro("-e", "work", "user", "config", "get", "git.credentials.gitlab").stdout == "old\n"


def test_whoever_is_logged_in_is_told_to_programs_too(user):
    assert json.loads(user.micro("user", "-o", "json").stdout) == {
        "id": "admin",
        "name": "admin",
        "type": "user",
        "namespace": "micro",
        "scopes": ["admin"],
    }
    told = json.loads(user.micro("user", "token", "-o", "json").stdout)
    assert told["access_token"] == token_of(user)["access_token"]
    assert told["expires_at"].endswith("Z")
    assert json.loads(user.micro("user", "config", "-o", "json").stdout)["git.baseurl"] is None
    assert json.loads(user.micro("services", "-o", "json").stdout) == []


def test_a_blank_user_name_on_a_terminal_means_the_browser(stranger, sidecar):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(MICRO[0], [MICRO[0], "login"], stranger.env)  # noqa: S606
    seen = b""
    while b"Enter username: " not in seen:
        seen += os.read(terminal, 1000)
    assert b"Without a username you log in with your browser." in seen
    os.write(terminal, b"\n")
    while b"logged in" not in seen:
        seen += os.read(terminal, 1000)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"https://pages.example/device?code=BCDF-GHJK" in seen
    assert b"Successfully logged in to namespace micro." in seen
    assert stranger.micro("user").stdout == "admin\n"
