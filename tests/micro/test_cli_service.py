"""`micro service`: what it refuses, and how it ends. What it is for is a story of tests/flows."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import httpx
import psutil
import pytest

from tests.fakes import FakeEcho
from tests.micro.conftest import eventually


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["auth"], 1, "auth is a part of the platform: `micro server` runs all of them.\n"),
        (["--endpoint", "localhost:1"], 1, "Say under which name it is called: micro service --name NAME.\n"),
        (["--name=x", "--endpoint=file:///no/such"], 1, "There is no folder /no/such to serve: say --endpoint file:"),
        (["--name=x", "--endpoint=file:/etc/passwd"], 1, "There is no folder /etc/passwd to serve: say --endpoint"),
        (["--name=x", "--endpoint=file:"], 1, "There is no folder without a name to serve: say --endpoint file:"),
        (["--name=x", "--endpoint=exec:nosuch"], 1, "There is no program nosuch on PATH that can be run: say --end"),
        (["--name=x", "--endpoint=exec:///etc/passwd"], 1, "There is no program /etc/passwd that can be run: say"),
        (["--name=x", "--endpoint=exec:"], 1, "There is no program without a name on PATH that can be run: say"),
        (["--name=x", "--endpoint=file:/etc", "--address=x"], 1, "--address x is none: say host:port, or :port for"),
        (["--name=x", "--endpoint=file:/etc", "--address=:99999"], 1, "--address :99999 is none: say host:port, or"),
        (["--name=x", "--endpoint=file:/etc", "--address=192.0.2.1:80"], 1, "Nothing can listen at --address 192.0."),
        (["--name=x", "--endpoint=ftp://a:1"], 1, "--endpoint ftp://a:1 is none: say grpc://host:port, http://"),
        (["--name=x", "--endpoint=http://a:1/b"], 1, "--endpoint http://a:1/b is none: say grpc://host:port, "),
        (["--name=x", "--endpoint=a:b"], 1, "--endpoint a:b is none: say grpc://host:port, http://host:port, file:"),
        (["--name=x", "--metadata=a"], 1, "Invalid metadata: a. Expected format: key=value\n"),
        (["--name=store", "--endpoint=http://a:1"], 1, "'store' is the platform's own name: choose another with --na"),
        (["--name=x", "--endpoint=file:/etc", "--bogus"], 1, "No such option: --bogus\nPlease refer to 'micro serv"),
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


def test_an_endpoint_of_micro_3s_protocol_is_a_grpc_server(user, sidecar):
    server = grpc.server(futures.ThreadPoolExecutor(2), (FakeEcho(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    process = user.start("service", "--name=echo", f"--endpoint=mucp://127.0.0.1:{port}")
    eventually(lambda: ("micro", "echo") in sidecar.registered, within_s=20)
    service = sidecar.registered["micro", "echo"]
    process.terminate()
    process.communicate(timeout=20)
    server.stop(None).wait()
    assert (service.protocol, service.nodes[0].address) == ("grpc", f"127.0.0.1:{port}")


@contextmanager
def served(user, sidecar, *args: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`micro service --name=site` with these arguments, until the block ends: the URL it is registered at."""
    process = user.start("service", "--name=site", *args)
    try:
        eventually(lambda: ("micro", "site") in sidecar.registered or process.poll() is not None, within_s=20)
        service = sidecar.registered["micro", "site"]
        assert service.protocol == "http"
        yield f"http://{service.nodes[0].address}", process
        process.terminate()
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate(timeout=20)
    assert (process.returncode, sidecar.registered) == (0, {})


@pytest.mark.parametrize("written", ["file:{}/site", "file://{}/site", "file:./site", "file:site"])
def test_a_folder_is_served_without_its_hidden_files_until_a_signal(user, sidecar, written):
    (user.home / "site").mkdir()
    (user.home / "site" / "index.html").write_text("home")
    (user.home / "site" / ".env").write_text("SECRET")
    (user.home / "site" / "up").symlink_to(user.home)
    with served(user, sidecar, f"--endpoint={written.format(user.home)}") as (url, _):
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/").text == "home"
        assert [httpx.get(f"{url}/{path}").status_code for path in (".env", "up/.micro/config.json", "no")] == [404] * 3
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1"])
def test_a_folder_is_served_where_the_address_says(user, sidecar, host):
    with socket.create_server(("127.0.0.1", 0)) as freed:
        port = freed.getsockname()[1]
    with served(user, sidecar, "--endpoint=file:.", f"--address={host}:{port}") as (url, _):
        assert url == f"http://127.0.0.1:{port}"


def test_an_address_that_is_taken_is_named(user):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = user.micro("service", "--name=x", "--endpoint=file:.", f"--address={address}")
    assert (done.returncode, done.stderr) == (
        1,
        f"Nothing can listen at --address {address}: Address already in use.\n",
    )


@pytest.mark.parametrize("written", ["exec://{}/shout", "exec:./shout", "exec:shout"])
def test_a_program_answers_and_knows_nothing_of_our_login(user, sidecar, written):
    program = user.home / "shout"
    program.write_text("#!/bin/sh\ntr a-z A-Z; env | grep MICRO_AUTH; exit 0\n")
    program.chmod(0o755)
    user.env |= {"PATH": f"{user.home}:{user.env['PATH']}", "MICRO_AUTH_ID": "admin", "MICRO_AUTH_SECRET": "micro"}
    with served(user, sidecar, f"--endpoint={written.format(user.home)}") as (url, _):
        answer = httpx.post(url, content="hello")
        assert (answer.status_code, answer.text) == (200, "HELLO")


def test_a_program_that_runs_ends_with_the_service(user, sidecar):
    program = user.home / "slow"
    program.write_text("#!/bin/sh\necho $$ >pid\nsleep 60\n")
    program.chmod(0o755)
    with served(user, sidecar, "--endpoint=exec:./slow") as (url, process):
        with futures.ThreadPoolExecutor() as pool:
            asked = pool.submit(httpx.get, url, timeout=30)
            eventually(lambda: (user.home / "pid").exists() and (user.home / "pid").read_text().strip(), within_s=20)
            process.terminate()
            assert isinstance(asked.exception(30), httpx.HTTPError) or asked.result().status_code == 500
        pid = int((user.home / "pid").read_text())
        eventually(lambda: not _is_there(pid), within_s=20)


def _is_there(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # whose new parent may reap nobody
    except psutil.NoSuchProcess:
        return False


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
