"""The processes that die: which they are on a server, and how each is killed or held for a moment."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from xmlrpc.client import ServerProxy

import engines
import psutil
from server import Server, environment, eventually
from supervisor.xmlrpc import SupervisorTransport

PROGRAMS = {
    "worker": "worker",
    "runner": "runner",
    "sidecar": "sidecar-0",
    "xds": "xds",
    "envoy": "envoy",
    "web": "web",
    "postgres": "postgres",
    "nats": "nats",
    "valkey": "valkey",
}
DOCKERD = "dockerd"


def programs(server: Server) -> dict[str, int]:
    """The pids of the supervised programs that run, by name."""
    run = next(filter(None, (environment(found).get("MICRO_RUN") for found in server.named("manage.py runner"))))
    transport = SupervisorTransport(serverurl=f"unix://{Path(run) / 'supervisor.sock'}")
    supervisor = ServerProxy("http://127.0.0.1", transport=transport).supervisor
    return {info["name"]: info["pid"] for info in supervisor.getAllProcessInfo() if info["statename"] == "RUNNING"}


def find(server: Server, victim: str) -> int:
    """The pid of a process by its name here."""
    if victim != DOCKERD:
        return programs(server)[PROGRAMS[victim]]
    engine = engines.own()
    assert engine, "The Docker engine is not ours."
    return engine.pid


def kill(server: Server, victim: str) -> None:
    """Kill it as the kernel does that has no memory left. The supervisor starts it again; an engine we start."""
    pid = find(server, victim)
    os.kill(pid, signal.SIGKILL)
    if victim == DOCKERD:
        eventually(lambda: not psutil.pid_exists(pid), 10, "the engine is dead")
        subprocess.run([engines.ENGINE / "up"], check=True, capture_output=True)


@contextmanager
def held(pid: int) -> Iterator[None]:
    """Let the process do nothing meanwhile, so that a step lasts until somebody has died in it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
