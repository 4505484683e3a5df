"""Launching containers in tests."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from runtime.backends import Launch

T = TypeVar("T")
PYTHON = "python:3.11-slim"
SERVE = "import http.server, os; print('up', flush=True); " + (
    "http.server.HTTPServer(('0.0.0.0', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()"
)


def until(check: Callable[[], T], *, within_s: float = 15.0) -> T:
    """What `check` returns once it is true."""
    deadline = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.05)
    return found


def make_launch(folder: Path, script: str, *, namespace: str, index: int) -> Launch:
    """A replica that runs a Python script."""
    replica_id = uuid4()
    return Launch(
        replica_id=replica_id,
        command=["python", "-u", "-c", script],
        env={"PORT": "1", "HOME": "/root", "PATH": "/x", "TOKEN": "t0ken"},
        folder=folder,
        log=folder / f"{replica_id}.log",
        image=PYTHON,
        namespace=namespace,
        service="web",
        deployment_id=uuid4(),
        index=index,
    )


def text(launch: Launch) -> str:
    """What the replica has printed."""
    return launch.log.read_text() if launch.log.exists() else ""


def answers(endpoint: tuple[str, int] | None) -> bool:
    """Whether somebody listens there."""
    if endpoint is None:
        return False
    try:
        socket.create_connection(endpoint, 1).close()
    except OSError:
        return False
    return True
