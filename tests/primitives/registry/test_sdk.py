"""`micro.registry` and the examples of docs/registry.md, against a whole sidecar."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from micro import auth, registry
from micro import client as clients
from micro.client import Client
from tests.primitives.whole import Whole, whole  # noqa: F401 - a fixture
from transport.tenancy import in_public

pytestmark = pytest.mark.django_db

DOCUMENT = (Path(__file__).parents[3] / "docs" / "registry.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


class Known:
    """An identity that has its token already."""

    def __init__(self, token: str) -> None:
        self._token = token

    def access_token(self, _client: Client) -> str:
        return self._token


@pytest.fixture
def client(whole: Whole) -> Iterator[Client]:  # noqa: F811
    """joe of shop."""
    made = Client(whole.address, namespace="shop")
    token = auth.token(id="joe", secret="joe-secret", client=made)
    made._identity = Known(token.access_token)  # type: ignore[assignment]
    yield made
    made.close()


def register(client: Client, name: str) -> None:
    registry.register(name, node=f"{name}-1", address="127.0.0.1:4000", client=client)


def deregister(client: Client, name: str) -> None:
    registry.deregister(name, node=f"{name}-1", address="127.0.0.1:4000", client=client)


def settled(watch: registry.Watch) -> list[tuple[str, str]]:
    """Reads the watch in a thread; what it told. Returns once the server has told it what is there."""
    told: list[tuple[str, str]] = []

    def read() -> None:
        for change in watch:
            told.append((change.action, change.service.name))

    threading.Thread(target=read, daemon=True).start()
    eventually(lambda: watch._known is not None)
    return told


def eventually(claim: object) -> None:
    deadline = time.monotonic() + 15
    while not claim():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_services_come_and_go(client):
    register(client, "hello")
    assert registry.services(client=client) == ["hello"]
    (service,) = registry.service("hello", client=client)
    assert [node.address for node in service.nodes] == ["127.0.0.1:4000"]
    assert asyncio.run(registry.aservices(client=client)) == ["hello"]
    deregister(client, "hello")
    assert registry.services(client=client) == []


def test_a_watch_goes_on_after_its_server_went_away_and_tells_what_changed_meanwhile(client, whole):  # noqa: F811
    register(client, "stays")
    register(client, "goes")
    with registry.watch(client=client) as watch:
        told = settled(watch)
        register(client, "comes")
        eventually(lambda: told == [("create", "comes")])
        whole.stop()
        asyncio.run(in_public(change_without_it))
        whole.start()
        eventually(lambda: told[1:] == [("delete", "goes"), ("create", "late")])
    for name in ("stays", "comes"):
        deregister(client, name)
    asyncio.run(in_public(forget_late))


def change_without_it() -> None:
    """What a runner does while the sidecar is away."""
    from primitives.registry import operations
    from primitives.registry.records import Node

    operations.deregister(namespace="shop", node_ids=["goes-1"])
    facts = {"service": "late", "version": "latest", "protocol": "grpc"}
    operations.register(namespace="shop", node=Node("late-1", "127.0.0.1", 4001, {}), **facts)


def forget_late() -> None:
    from primitives.registry import operations

    operations.deregister(namespace="shop", node_ids=["late-1"])


def test_every_example_runs(client, monkeypatch, capsys):
    monkeypatch.setattr(clients, "default", lambda: client)
    look, watch, announce = BLOCKS
    register(client, "hello")
    names: dict[str, object] = {}
    exec(look, names)  # noqa: S102
    assert "latest ['127.0.0.1:4000']" in capsys.readouterr().out
    deregister(client, "hello")
    with registry.watch(client=client) as watching:
        names["registry"] = type("registry", (), {"watch": lambda: watching})
        thread = threading.Thread(target=exec, args=(watch, names), daemon=True)
        thread.start()
        eventually(lambda: watching._known is not None)
        exec(announce, {"registry": registry})  # noqa: S102
        printed = ""
        deadline = time.monotonic() + 15
        while "delete hello" not in printed:
            assert time.monotonic() < deadline, printed
            time.sleep(0.05)
            printed += capsys.readouterr().out
    assert "create hello" in printed
