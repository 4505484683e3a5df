"""What users do wrong, and what their machine does to them: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import base64
import contextlib
import errno
import http.server
import json
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from micro import errors, home, identity, tokens
from micro.cli import failures
from micro.client import Client
from tests.micro.conftest import MICRO, User, eventually

NOT_TEXT = os.fsdecode(b"\xff\xfe")


def is_a_sentence(text: str) -> bool:
    return "Traceback" not in text and text.count("\n") <= 2 and text.strip() != ""


def saved(user: User, **changes: object) -> None:
    """Change what is kept of the login."""
    path = user.home / ".micro" / "tokens"
    key, _, token = path.read_text().strip().rpartition(":")
    fields = json.loads(base64.b64decode(token)) | changes
    path.write_text(f"{key}:{base64.b64encode(json.dumps(fields).encode()).decode()}\n")


@pytest.mark.parametrize(
    ("damage", "code", "text"),
    [
        ('{"env":', 1, "config.json is not valid JSON; mend or remove it."),
        ('{"envs": "[1]"}', 1, "config.json is not valid JSON at 'envs'; mend or remove it."),
        ('{"envs": "{]"}', 1, "config.json is not valid JSON at 'envs'; mend or remove it."),
        ("[" * 100_000, 1, "config.json is not valid JSON; mend or remove it."),
        (b"\xff\xfe", 1, "config.json is not valid JSON; mend or remove it."),
    ],
)
def test_a_damaged_config_file_is_named_with_the_way_out(stranger, damage, code, text):
    folder = stranger.home / ".micro"
    folder.mkdir()
    (folder / "config.json").write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    done = stranger.micro("env", MICRO_PROXY="")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.endswith(f"{text}\n")
    assert is_a_sentence(done.stderr)


@pytest.mark.parametrize("damage", [b"rubbish\n", b"\xff\xfe:zz\n", b"micro://a/b/c:e30=\n", b"\0\0"])
def test_a_damaged_login_is_none(user, damage):
    (user.home / ".micro" / "tokens").write_bytes(damage)
    done = user.micro("status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Not authorized to perform this request\nLog in with `micro login`.\n"


def test_a_failed_login_leaves_the_one_before(user):
    assert user.micro("login", "--username=admin", "--password=wrong").returncode == 1
    assert user.micro("user").stdout == "admin\n"


def test_secrets_are_for_their_owner_alone_whatever_the_files_mode_was(stranger):
    folder = stranger.home / ".micro"
    folder.mkdir()
    for name in ("tokens", "config.json"):
        (folder / name).touch(mode=0o666)
        (folder / name).chmod(0o666)
    assert stranger.micro("login", "--username=admin", "--password=micro").returncode == 0
    for name in ("tokens", "config.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_a_home_that_cannot_be_written_to_is_named_and_reading_goes_on(user):
    unwritable = {"HOME": "/proc"}  # to root, too
    done = user.micro("login", "--username=admin", "--password=micro", **unwritable)
    assert (done.returncode, done.stdout) == (1, "")
    assert "/proc/.micro" in done.stderr
    assert is_a_sentence(done.stderr)
    assert user.micro("env", **unwritable).returncode == 0
    assert user.micro("status", MICRO_AUTH_ID="admin", MICRO_AUTH_SECRET="micro", **unwritable).returncode == 0


def test_no_home_at_all_is_no_obstacle_where_none_is_needed(user):
    env = {key: value for key, value in user.env.items() if key != "HOME"}
    done = subprocess.run([*MICRO, "env"], env=env, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def test_a_user_whom_the_system_does_not_know_is_told_to_set_home(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda name: name)  # so it answers where nobody knows
    with pytest.raises(errors.FailedPrecondition, match="set HOME"):
        home.folder()


def test_a_file_that_cannot_be_written_whole_is_left_as_it_was(user):
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    before = (user.home / ".micro" / "config.json").read_text()
    done = subprocess.run(
        [*MICRO, "user", "namespace", "set", "shop"],
        env=user.env,
        capture_output=True,
        text=True,
        preexec_fn=limited,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "config.json: File too large" in done.stderr
    assert is_a_sentence(done.stderr)
    assert (user.home / ".micro" / "config.json").read_text() == before
    assert not [path for path in (user.home / ".micro").iterdir() if path.suffix not in ("", ".json", ".lock")]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "/a/b: the disk is full; free some space, and try again"),
        (errno.EDQUOT, "/a/b: your share of the disk is used up; free some space, and try again"),
        (errno.EROFS, "/a/b: that disk cannot be written to; set HOME to a folder that can"),
        (errno.EACCES, "/a/b: this user may not do that; look at the permissions"),
        (errno.EISDIR, "/a/b: Is a directory"),
    ],
)
def test_what_the_machine_has_against_it_is_told_with_the_way_out(number, text):
    failure = failures.explained(OSError(number, os.strerror(number), "/a/b"))
    assert failure is not None
    assert (failure.text, failure.exit_code) == (text, 1)


@pytest.mark.parametrize("command", [["--help"], ["env"], ["store", "--help"]])
def test_a_full_disk_behind_the_output_is_told(stranger, command):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*MICRO, *command],
            env=stranger.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 1
    assert is_a_sentence(done.stderr)


@pytest.mark.parametrize("command", ["micro --help | head -1", "micro env | head -1", "micro services | true"])
def test_a_reader_that_leaves_early_is_no_error_of_ours(user, command):
    script = f"set -o pipefail; {command}"
    env = user.env | {"PATH": f"{Path(MICRO[0]).parent}:{user.env['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode in (0, 141)
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_nobody(user, closed):
    env = user.env | {"PATH": f"{Path(MICRO[0]).parent}:{user.env['PATH']}"}
    for command, code in (("micro env", 0), ("micro nosuch", 1)):
        done = subprocess.run(
            ["bash", "-c", f"{command} {closed}"], env=env, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"}, {"LANG": "xx_YY"}]
)
def test_text_beyond_ascii_is_printed_in_any_locale(user, sidecar, locale):
    sidecar.run_log = ["größe €"]
    folder = user.home / "größe"
    folder.mkdir()
    (folder / "main.py").write_text("print()\n")
    assert user.micro("run", folder, "--name=shop", **locale).returncode == 0
    for args in (["status"], ["status", "-o", "json"], ["logs", "shop"]):
        done = user.micro(*args, **locale)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["status", NOT_TEXT],
        ["kill", NOT_TEXT],
        [NOT_TEXT],
        ["call", "helloworld", "Helloworld.Call", f'{{"name": "{NOT_TEXT}"}}'],
        ["login", "--username", NOT_TEXT, "--password=x"],
        ["run", NOT_TEXT],
        ["-e", NOT_TEXT, "status"],
    ],
)
def test_arguments_that_are_no_text_are_refused_with_a_sentence(user, helloworld, args):
    done = user.micro(*args)
    assert done.returncode not in (0, 130)
    assert is_a_sentence(done.stderr), done.stderr


def test_a_huge_argument_is_an_argument(user, helloworld):
    name = "x" * 100_000
    done = user.micro("helloworld", f"--name={name}")
    assert json.loads(done.stdout)["msg"] == f"Hello {name}"


def test_a_file_name_that_is_no_text_is_sent_as_it_is(user, sidecar):
    folder = user.home / "odd"
    folder.mkdir()
    (folder / "main.py").write_text("print()\n")
    (folder / NOT_TEXT).write_text("x")
    assert user.micro("run", folder).returncode == 0
    assert set(sidecar.uploaded("source://odd:latest")) == {"main.py", NOT_TEXT}


def test_nobody_listening_is_told_with_the_way_out(stranger):
    done = stranger.micro("status", MICRO_PROXY="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        "Failed to connect to micro server at 127.0.0.1:1: start one with `micro server`, "
        "or choose another in MICRO_PROXY, which names this one.\n"
    )


def test_a_port_where_something_else_answers_is_told_with_what_to_name(stranger):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{pages.server_port}"
        for command in (["services"], ["login", "--username=admin", "--password=micro"]):
            done = stranger.micro(*command, MICRO_PROXY=address)
            assert (done.returncode, done.stdout) == (4, "")
            assert done.stderr == f"What answers at {address} speaks no gRPC: name a server's proxy, as host:8081.\n"
        pages.shutdown()


def test_an_environment_where_nobody_listens_is_told_as_one(stranger):
    assert stranger.micro("env", "add", "gone", "127.0.0.1:1").returncode == 0
    done = stranger.micro("-e", "gone", "status", MICRO_PROXY="")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.endswith("or choose another with `micro env set NAME`.\n")


def test_a_server_that_never_answers_is_waited_for_five_seconds(stranger):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        done = stranger.micro("status", MICRO_PROXY=f"127.0.0.1:{silent.getsockname()[1]}")
    assert done.returncode in (1, 4)
    assert is_a_sentence(done.stderr)
    assert time.monotonic() - begun < 25


def library_is_being_loaded(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "cygrpc" in Path(f"/proc/{pid}/maps").read_text()
    return False


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    return process.returncode, err


def test_ctrl_c_while_the_libraries_are_loaded_is_one_word(user, sidecar):
    process = user.start("status")
    eventually(lambda: library_is_being_loaded(process.pid) or process.poll() is not None, 20)
    code, err = interrupted(process)
    assert (code, err.strip()) in ((130, "Interrupted."), (0, ""))


def test_ctrl_c_at_a_question_is_one_word(stranger):
    with subprocess.Popen(
        [*MICRO, "login"],
        env=stranger.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert process.stderr.read(len("Enter username: ")) == "Enter username: "
        code, err = interrupted(process)
    assert (code, err) == (130, "\nInterrupted.\n")


def test_ctrl_c_while_a_folder_is_sent_is_one_word(user, sidecar):
    sidecar.upload_lag_s = 20
    folder = user.home / "greeter"
    folder.mkdir()
    (folder / "main.py").write_text("print()\n")
    process = user.start("run", "greeter")
    eventually(lambda: any(path == "/runtime.Source/Upload" for path, _ in sidecar.calls), 20)
    code, err = interrupted(process)
    assert (code, err.splitlines()[-1]) == (130, "Interrupted.")


def test_of_two_processes_that_renew_a_login_at_once_neither_loses_it(user, sidecar, monkeypatch):
    saved(user, expiry=int(time.time()) + 5)
    monkeypatch.setenv("HOME", str(user.home))
    before = sum(path == "/auth.Auth/Token" for path, _ in sidecar.calls)
    seen: list[str] = []

    def ask() -> None:
        client = Client(target=home.target(address=sidecar.address))
        seen.append(identity.Login(client._target).access_token(client))
        client.close()

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert sum(path == "/auth.Auth/Token" for path, _ in sidecar.calls) - before == 1
    assert len(set(seen)) == 1
    kept = tokens.read(home.target(address=sidecar.address))
    assert kept is not None
    assert kept.access_token == seen[0]


def test_a_login_goes_on_where_the_renewed_one_cannot_be_kept(user, sidecar):
    saved(user, expiry=int(time.time()) + 5)
    for name in ("tokens.renewal.lock", "tokens.lock"):
        (user.home / ".micro" / name).unlink(missing_ok=True)
        (user.home / ".micro" / name).symlink_to("/proc/nowhere")  # which nobody can make, root neither
    done = user.micro("user")
    assert (done.returncode, done.stdout) == (0, "admin\n"), done.stderr
