"""`micro service`: what it refuses, and how it ends. What it is for is a story of tests/flows."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from tests.micro.conftest import eventually


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["auth"], 1, "auth is a part of the platform: `micro server` runs all of them.\n"),
        (["--endpoint", "localhost:1"], 1, "Say under which name it is called: micro service --name NAME.\n"),
        (["--name=x", "--endpoint=file:/srv"], 1, "--endpoint file:/srv is not served here: files are served by"),
        (["--name=x", "--endpoint=exec:ls"], 1, "--endpoint exec:ls is not served here: a program is run as the"),
        (["--name=x", "--endpoint=mucp://a:1"], 1, "--endpoint mucp://a:1 is not served here: services speak gRPC"),
        (["--name=x", "--endpoint=ftp://a:1"], 1, "--endpoint ftp://a:1 is none: say grpc://host:port or http://"),
        (["--name=x", "--endpoint=http://a:1/b"], 1, "--endpoint http://a:1/b is none: say grpc://host:port or"),
        (["--name=x", "--endpoint=a:b"], 1, "--endpoint a:b is none: say grpc://host:port or http://host:port; the"),
        (["--name=x", "--metadata=a"], 1, "Invalid metadata: a. Expected format: key=value\n"),
        (["--name=x", "/nosuch/program"], 127, "/nosuch/program cannot be started: No such file or directory.\n"),
    ],
)
def test_what_cannot_be_registered_is_refused_with_the_way_out(user, args, code, text):
    done = user.micro("service", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(text)


def test_who_is_not_logged_in_registers_nothing_and_is_told_so(stranger, sidecar):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = stranger.micro("service", "--name=web", f"--endpoint=http://127.0.0.1:{listening.getsockname()[1]}")
    assert (done.returncode, sidecar.registered) == (2, {})
    assert "micro login" in done.stderr


@pytest.mark.parametrize("ended", [signal.SIGINT, signal.SIGTERM])
def test_it_is_registered_as_it_was_said_until_a_signal(user, sidecar, ended):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        args = ("--name=web", f"--endpoint=http://localhost:{port}", "--metadata=team=blue", "--address=:1")
        process = user.start("service", *args)
        eventually(lambda: ("micro", "web") in sidecar.registered, within_s=20)
        service = sidecar.registered["micro", "web"]
        process.send_signal(ended)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, sidecar.registered) == (0, {})
    assert (service.protocol, service.metadata, service.options.ttl) == ("http", {"team": "blue"}, 90)
    assert [node.address for node in service.nodes] == [f"127.0.0.1:{port}"]
    assert said.splitlines() == [
        "--address has no effect here: callers reach the endpoint itself, with no process between.",
        "web is registered. Open it at the gateway, on a server of this machine http://localhost:8080/web/.",
    ]


def test_what_speaks_no_grpc_is_not_registered_as_grpc(user, sidecar):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = user.start("service", "--name=web", f"--endpoint=127.0.0.1:{port}")
        said = process.stderr.readline()
        process.terminate()
        process.communicate(timeout=20)
    assert said == (
        f"What listens at grpc://127.0.0.1:{port} speaks no gRPC: say --endpoint http://… if it speaks HTTP.\n"
    )
    assert sidecar.registered == {}


def test_it_ends_with_its_command_and_its_exit_code(user):
    with socket.create_server(("127.0.0.1", 0)) as freed:
        port = freed.getsockname()[1]
    done = user.micro("service", "--name=x", f"--endpoint=127.0.0.1:{port}", sys.executable, "-c", "exit(7)")
    assert done.returncode == 7
    assert done.stderr.startswith(f"Nothing answers at grpc://127.0.0.1:{port}: x is registered once something does.")


def test_a_command_that_is_killed_ends_it_as_in_a_shell(user):
    process = user.start("service", "--name=x", "sleep", "60")
    eventually(lambda: _children(process.pid), within_s=20)
    for child in _children(process.pid):
        subprocess.run(["kill", "-KILL", child], check=True)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGKILL


def _children(pid: int) -> list[str]:
    return subprocess.run(
        ["pgrep", "-P", str(pid), "sleep"], check=False, capture_output=True, text=True
    ).stdout.split()


def test_the_name_of_a_service_that_the_platform_runs_is_not_taken_over(user, sidecar):
    folder = user.home / "greeter"
    folder.mkdir()
    (folder / "main.py").write_text("print('hello')\n")
    user.micro("run", "--detach", folder)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        done = user.micro("service", "--name=greeter", f"--endpoint={endpoint}")
    assert (done.returncode, sidecar.registered) == (1, {})
    assert done.stderr == (
        "greeter is a service that the platform runs: choose another --name, or `micro kill greeter` first.\n"
    )


def test_a_name_that_the_platform_runs_meanwhile_is_left_to_it_when_the_endpoint_is_back(user, sidecar):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = user.start("service", "--name=greeter", f"--endpoint=http://127.0.0.1:{port}")
        eventually(lambda: ("micro", "greeter") in sidecar.registered, within_s=20)
    eventually(lambda: not sidecar.registered, within_s=20)
    folder = user.home / "greeter"
    folder.mkdir()
    (folder / "main.py").write_text("print('hello')\n")
    user.micro("run", "--detach", folder)
    with socket.create_server(("127.0.0.1", port)):
        _, said = process.communicate(timeout=20)
    assert (process.returncode, sidecar.registered) == (1, {})
    assert said.endswith(
        "greeter is a service that the platform runs: choose another --name, or `micro kill greeter` first.\n"
    )
