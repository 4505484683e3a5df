"""Who has which port of this machine, and that a replica goes before what was announced."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from deploying import ADMIN, eventually, hello, pids

from primitives.registry import operations as registry
from primitives.registry import records
from primitives.registry.addresses import PLATFORM, Holder
from primitives.registry.records import Node
from runtime import folders, holders, ports, processes
from runtime.models import Replica

pytestmark = pytest.mark.django_db(transaction=True)
OWN = Holder("micro", "web", "web-latest-1")
LISTENS = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
# Its daemon leaves the session, and listens on a port of its own.
WITH_DAEMON = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", LISTENS, "PORT"], start_new_session=True)
"""


@pytest.fixture(autouse=True)
def profile(settings) -> None:
    settings.MICRO_PROFILE = "local"


@pytest.fixture
def port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def found(port: int) -> list[Holder]:
    return holders.Machine().holders([port])[port]


@contextmanager
def listening(port: int, **environment: str) -> Iterator[None]:
    """A process of this machine that listens there."""
    child = subprocess.Popen([sys.executable, "-c", LISTENS, str(port)], env=environment)
    try:
        eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield
    finally:
        child.kill()
        child.wait(10)


def announce(port: int, name: str = "other") -> None:
    facts = {"version": "latest", "protocol": "http", "ttl": timedelta(seconds=60), "by": ADMIN}
    node = Node(f"{name}-{port}", "127.0.0.1", port, {})
    registry.announce(namespace="micro", service=name, nodes=[node], **facts)


@pytest.mark.usefixtures("running", "envoy")
def test_a_replica_has_the_port_it_was_given_and_those_that_its_processes_listen_on(platform, port):
    files = hello("one")
    files["main.py"] = WITH_DAEMON.replace("LISTENS", repr(LISTENS)).replace("PORT", str(port)) + files["main.py"]
    assert platform.deploy("web", files).state == "live"
    replica = Replica.objects.in_namespace("micro").get()
    assert replica.port
    assert set(found(replica.port)) == {OWN}
    eventually(lambda: found(port) == [OWN])
    assert holders.Machine().accounts([replica.node_id, "web-nonsense"]) == {replica.node_id: "web-latest-1"}
    for pid in pids("web"):  # the daemon has left the session by which a replica is ended
        os.kill(pid, signal.SIGKILL)


def test_a_port_is_the_platforms_when_a_process_of_a_server_or_a_build_listens_there(platform, port):
    with listening(port):
        assert found(port) == []
    with listening(port, MICRO_SUPERVISED_HOME="/somewhere"):
        assert found(port) == [PLATFORM]
    record = folders.jobs() / "job"
    argv = [sys.executable, "-c", LISTENS, str(port)]
    child = processes.launch(argv, record=record, env={}, cwd=platform.folder, output=platform.folder / "log")
    try:
        eventually(lambda: found(port) == [PLATFORM])
    finally:
        processes.started(child).kill()
        child.wait(10)


def test_a_replica_is_given_a_port_that_nobody_announced_and_any_other_before_none(
    platform, running, port, monkeypatch
):
    monkeypatch.setattr(ports, "LOWEST", port)
    monkeypatch.setattr(ports, "HIGHEST", port + 1)
    announce(port)
    assert records.announced_ports() == {port}
    platform.work(platform.queue("web", hello("one")))
    eventually(lambda: Replica.objects.in_namespace("micro").exclude(port=None).exists())
    assert Replica.objects.in_namespace("micro").get().port == port
    eventually(lambda: not records.announced_ports())
    monkeypatch.setattr(ports, "HIGHEST", port + 2)
    platform.kill("web")
    eventually(lambda: not Replica.objects.in_namespace("micro").exists(), 20)
    announce(port)
    platform.work(platform.queue("web", hello("two")))
    eventually(lambda: Replica.objects.in_namespace("micro").exclude(port=None).exists())
    assert Replica.objects.in_namespace("micro").get().port == port + 1
    assert records.announced_ports() == {port}
