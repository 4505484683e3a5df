"""A server starts with one command, stops as one, and finds everything again, whatever happened to it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from docker_server import DockerServer
from server import MICRO, ROOT, Server, eventually

KINDS = {"process": Server, "docker": DockerServer}
both_backends = pytest.mark.backends("process", "docker")


@pytest.fixture
def own(tmp_path: Path, backend: str) -> Iterator[Server]:
    """A server that is this test's alone, not started."""
    server = KINDS[backend](tmp_path)
    yield server
    for process in server.processes():
        process.kill()
    server.forget()


def run_example(server: Server) -> None:
    """Start it, and the example on it."""
    server.start()
    server.login()
    server.micro("run", "examples/helloworld")


def kill_alone(server: Server) -> None:
    """Kill the server's own process hard, and nothing of what it had started."""
    server.process.kill()
    server.process.wait(10)
    assert server.processes() != []


def stop_for_good(server: Server) -> None:
    """Stop it as Ctrl-C does: soon nothing of it runs."""
    assert server.stop() < 10
    assert server.processes() == server.replicas("helloworld") == []


def greets(server: Server) -> bool:
    """Whether the example answers through the gateway."""
    answer = server.get("/helloworld?name=Joe")
    return answer.status_code == 200 and answer.json() == {"msg": "Hello Joe"}


@both_backends
@pytest.mark.parametrize("way", [pytest.param(signal.SIGINT, marks=pytest.mark.backends("process")), signal.SIGTERM])
def test_a_stopped_server_leaves_no_process_and_a_restart_brings_everything_back(own: Server, way: signal.Signals):
    run_example(own)
    assert greets(own)
    began = time.monotonic()
    own.process.send_signal(way)
    own.process.wait(15)
    assert time.monotonic() - began < 10
    assert own.processes() == own.replicas("helloworld") == []
    assert own.process.returncode == 0

    own.start()
    eventually(lambda: greets(own), 30, "the service answers again, without a command")
    eventually(lambda: own.status("helloworld") == "running", 20, "its status says so")
    stop_for_good(own)


@pytest.mark.extended
@both_backends
def test_after_everything_was_killed_hard_the_next_start_cleans_up_by_itself(own: Server):
    run_example(own)
    for process in own.processes():
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # its parent's end was its own
    own.process.wait(10)
    own.start()
    eventually(lambda: greets(own), 30, "the service answers again")
    stop_for_good(own)


@pytest.mark.extended
@both_backends
def test_after_the_server_alone_was_killed_hard_the_next_start_takes_over(own: Server):
    run_example(own)
    kill_alone(own)
    own.log.write_text("")
    own.start()  # which finds the old one's web and gateway ready
    eventually(lambda: "micro is ready" in own.log.read_text(), 60, "the new one is ready")
    eventually(lambda: greets(own), 30, "the service answers again")
    stop_for_good(own)


@pytest.mark.extended
@both_backends
def test_shutdown_ends_and_counts_what_a_server_that_was_killed_hard_has_left(own: Server, backend: str):
    run_example(own)
    kill_alone(own)
    assert own.replicas("helloworld") != []
    assert "and nobody looks after what runs" in doctor(own)["supervisor"]
    done = shut_down(own)
    assert done.returncode == 0, done.stderr
    containers = " and 1 container" if backend == "docker" else ""
    said = re.fullmatch(rf"A killed server had left (\d+) processes{containers}: ended\.\n", done.stdout)
    assert said, done.stdout
    assert int(said[1]) > 5
    assert own.processes() == own.replicas("helloworld") == []
    done = shut_down(own)
    assert (done.returncode, done.stderr) == (1, f"No server runs on {own.home}.\n")
    assert "supervisor" not in doctor(own)

    own.start()
    eventually(lambda: greets(own), 30, "the service answers again")
    assert shut_down(own).returncode == 0
    own.process.wait(10)
    assert own.processes() == own.replicas("helloworld") == []


def test_shutdown_where_no_server_has_ever_run_says_so(tmp_path: Path):
    own = Server(tmp_path)
    done = shut_down(own)
    assert (done.returncode, done.stderr) == (1, f"No server runs on {own.home}.\n")
    assert not own.home.exists()


def doctor(server: Server) -> dict[str, str]:
    """What `micro doctor` finds of each thing on the server's machine."""
    command = [MICRO, "doctor", "-o", "json"]
    done = subprocess.run(command, env=server.env, capture_output=True, text=True, timeout=60, check=False)
    return {finding["name"]: finding["detail"] for finding in json.loads(done.stdout)}


def shut_down(server: Server) -> subprocess.CompletedProcess[str]:
    """`micro shutdown` in the environment that the server was started in."""
    return subprocess.run([MICRO, "shutdown"], env=server.env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "victim",
    [
        "gunicorn",
        "celery",
        "manage.py sidecar",
        "manage.py runner",
        "manage.py xds",
        "envoy",
        "valkey-server",
        "nats-server",
    ],
)
def test_a_process_that_is_killed_comes_back_and_services_can_be_deployed(server: Server, victim: str):
    before = server.named(victim)
    assert before, f"no process is called {victim}"
    for process in before:
        process.kill()
    eventually(lambda: server.named(victim) and not any(p.is_running() for p in before), 20, f"{victim} is back")
    eventually(server.is_ready, 30, "web and gateway answer")
    eventually(lambda: server.micro("services", check=False).returncode == 0, 30, "a command works")
    server.micro("run", "examples/helloworld")
    assert greets(server)
    server.micro("kill", "helloworld")


@pytest.mark.parametrize("victim", ["gunicorn", "--beat"])
def test_what_a_killed_process_had_started_goes_with_it(server: Server, victim: str):
    leader = next(process for process in server.named(victim) if process.parent().pid == server.process.pid)
    children = leader.children()
    assert children
    leader.kill()
    eventually(lambda: not any(child.is_running() for child in children), 5, "its children are gone")
    eventually(server.is_ready, 30, "web and gateway answer")


def test_two_servers_run_side_by_side(server: Server, own: Server):
    run_example(own)
    assert greets(own)
    assert server.get("/helloworld?name=Joe").status_code == 404
    assert own.stop() < 10
    assert server.is_ready()


def test_the_example_of_make_run_shows_its_answer_on_an_empty_state_and_only_then(own: Server):
    command = [sys.executable, ROOT / "manage.py", "server", "--example", "examples/helloworld"]
    for shows in (True, False):
        own.log.write_text("")
        with own.log.open("a") as log:
            own.process = subprocess.Popen(
                command, cwd=ROOT, env=own.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True
            )
        eventually(lambda: "micro is ready" in own.log.read_text(), 60, "the server is ready")
        if shows:
            eventually(lambda: "The same by HTTP: curl" in own.log.read_text(), 30, "the example has run")
            curl = own.log.read_text().split('curl "')[1].split('"')[0]
            assert httpx.get(curl).json() == {"msg": "Hello Joe"}
        eventually(lambda: greets(own), 30, "the example answers")
        assert ("Hello Joe" in own.log.read_text()) is shows
        own.stop()
    assert own.processes() == []
