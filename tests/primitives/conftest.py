"""A real NATS that can be killed, and a sidecar on a Unix socket in front of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from micro.errors import Unauthenticated
from project.embedded import nats as embedded
from transport import database
from transport.callers import Account
from transport.server import OPTIONS, Server
from transport.tenancy import in_tenant

JOE = "joe@shop"


class Nats:
    """The server that `micro server` would start, with its monitoring page."""

    def __init__(self, folder: Path) -> None:
        self._port, self._monitor = _free_port(), _free_port()
        self._config = folder / "nats.conf"
        self._log = folder / "nats.log"
        text = embedded.config(folder=folder / "js", port=self._port, password="secret")
        self._config.write_text(f'{text}http: "127.0.0.1:{self._monitor}"\n')
        self._process: subprocess.Popen[bytes] | None = None
        self.url = embedded.url(self._port, "secret")

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(embedded.command(self._config), stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def kill(self, sign: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            os.kill(self._process.pid, sign)
            self._process.wait(10)
            self._process = None

    def signal(self, sign: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, sign)

    def forget(self) -> None:
        """Everything it has on disk."""
        shutil.rmtree(self._config.parent / "js")

    def monitor(self, page: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._monitor}/{page}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def nats(tmp_path_factory, settings) -> Iterator[Nats]:
    """A running NATS with nothing in it, which the settings name."""
    server = Nats(tmp_path_factory.mktemp("nats"))
    server.start()
    settings.NATS_URL = server.url
    yield server
    server.kill(signal.SIGTERM)


@pytest.fixture(scope="module")
def _shop_and_rival(django_db_setup, django_db_blocker) -> Iterator[list[Any]]:
    """Committed, since the sidecar looks from other connections, and made once: a schema takes a second."""
    from tenants.operations import create_namespace

    with django_db_blocker.unblock():
        made = [create_namespace(slug=slug) for slug in ("shop", "rival")]
    yield made
    with django_db_blocker.unblock():
        for namespace in made:
            namespace.delete(force_drop=True)


@pytest.fixture
async def namespaces(_shop_and_rival, db, monkeypatch) -> None:
    """shop and rival, with nothing in them. (Through threads: the sidecar would not see a test's own transaction.)"""
    from django.db import connections

    from primitives.events.models import DeadLetter

    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)  # threads outlive their test
    for namespace in _shop_and_rival:
        await in_tenant(namespace.slug, DeadLetter.objects.all().delete)


async def identify(token: str) -> Account:
    """The token `joe@shop` is the account joe of shop; `root@micro` has the scope admin."""
    id, at, issuer = token.partition("@")
    if not at:
        raise Unauthenticated("invalid token provided")
    return Account(id=id, type="user", issuer=issuer, name=id, scopes=("admin",) if id == "root" else ())


class Sidecar:
    """A channel to methods under test, as one account after the other."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    async def call(self, method: str, request: Any, returns: Any, *, token: str = JOE, **metadata: str) -> Any:
        """One answer of `/events.Stream/Publish`."""
        call = self.channel.unary_unary(
            method, request_serializer=type(request).SerializeToString, response_deserializer=returns.FromString
        )
        return await call(request, metadata=_headers(token, metadata), timeout=20)

    def stream(self, method: str, returns: Any, *, token: str = JOE, **metadata: str) -> Any:
        """A call to which messages of any type may be written."""
        call = self.channel.stream_stream(
            method,
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=returns.FromString,
        )
        return call(metadata=_headers(token, metadata))


def _headers(token: str, metadata: dict[str, str]) -> tuple[tuple[str, str], ...]:
    sent = {"authorization": f"Bearer {token}"} if token else {}
    return tuple((sent | {key.replace("_", "-"): value for key, value in metadata.items()}).items())


@pytest.fixture
async def sidecar(nats, tmp_path_factory) -> AsyncIterator[Sidecar]:
    """Events and broker on a Unix socket."""
    from primitives.broker import rpc as broker
    from primitives.events import rpc as events

    path = tmp_path_factory.mktemp("s") / "s.sock"
    server = grpc.aio.server(options=OPTIONS)
    Server({"events": events.METHODS, "broker": broker.METHODS}, identify=identify).mount(server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{path}", options=OPTIONS) as channel:
        yield Sidecar(channel)
    await server.stop(None)
    await database.close()
