"""What the runtime's tests lean on: a state folder, a namespace, real NATS, a runner in a thread."""

# ruff: noqa: E402
from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from deploying import Platform, eventually
from fakes import FakeEnvoy
from gitserver import git_server

import project.celery  # noqa: F401 - tasks are sent through it
from project.embedded import nats
from runtime import runner
from runtime.attempts import Attempt
from tenants.models import Namespace
from tenants.operations import bootstrap


@pytest.fixture
def git(tmp_path, settings):
    """A git server whose address is on the allow list."""
    root = tmp_path / "repositories"
    root.mkdir()
    with git_server(root) as server:
        settings.MICRO_GIT_ALLOW_HOSTS = (f"127.0.0.1:{server.port}",)
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path, settings):
    """A state folder of the test's own; nothing of it runs when the test is over."""
    from runtime.backends import process

    settings.MICRO_HOME = tmp_path / "home"
    yield tmp_path / "home"
    process.stop_everything()


@pytest.fixture
def walls(settings) -> None:
    """Services and builds within walls; where these cannot be had the test is skipped, with the way out."""
    from runtime.backends import bubblewrap

    if not bubblewrap.works():
        pytest.skip("bubblewrap does not work here: apt-get install -y bubblewrap, outside an unprivileged container.")
    settings.MICRO_BUBBLEWRAP = "auto"


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    """A worker's attempt at a build, which may go on."""
    return Attempt("acme", uuid4(), tmp_path / "build.log", lambda: True)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[str]:
    """The URL of a real nats-server."""
    folder = Path(tempfile.mkdtemp(prefix="micro-nats-", dir="/tmp"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "nats.conf").write_text(nats.config(folder=folder / "data", port=port, password="x"))
    server = subprocess.Popen(nats.command(folder / "nats.conf"), stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield nats.url(port, "x")
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def namespace(transactional_db, settings) -> Namespace:
    """The namespace `micro` of a server that was just set up."""
    database = connection.settings_dict
    settings.DATABASE_URL = f"host={database['HOST']} dbname={database['NAME']} user={database['USER']}"
    bootstrap(admin_password="micro")
    return Namespace.objects.get(slug="micro")


@pytest.fixture
def envoy(namespace) -> Iterator[FakeEnvoy]:
    """An Envoy that follows the registry."""
    with FakeEnvoy() as envoy:
        yield envoy


@pytest.fixture
def platform(namespace, home, settings) -> Platform:
    """The runtime without a runner."""
    settings.MICRO_DRAIN_TIME = settings.MICRO_DRAIN_TIME / 10
    return Platform(namespace, home)


@pytest.fixture
def running(namespace, nats_server, settings) -> Iterator[runner.Runner]:
    """A runner at work in a thread."""
    settings.NATS_URL = nats_server
    loop = runner.Runner()
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    yield loop
    loop.stop()
    thread.join(10)
    assert not thread.is_alive()
