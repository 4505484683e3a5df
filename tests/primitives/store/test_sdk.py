"""micro.store, micro.blob and micro.config against a sidecar that goes away and comes back."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from micro import blob, config, errors, store
from micro.client import Client
from primitives.blobs import rpc as blobs_rpc
from primitives.config import records as config_records
from primitives.config import rpc as config_rpc
from primitives.store import rpc as store_rpc
from tests.primitives.serving import Sidecar
from tests.primitives.store.conftest import identify


@dataclass
class Customer:
    name: str
    tags: list[str] = field(default_factory=list)


class Known:
    """An identity that needs no auth service."""

    def __init__(self, token: str) -> None:
        self.token = token

    def access_token(self, _client: Client) -> str:
        return self.token


@pytest.fixture
def server(namespaces, tmp_path, settings, monkeypatch):
    monkeypatch.setattr(config_records, "_cache", config_records._Cache())
    settings.MICRO_BLOB_FOLDER = tmp_path / "blobs"
    tables = {"store": store_rpc.METHODS | blobs_rpc.METHODS, "config": config_rpc.METHODS}
    with Sidecar(tables, identify).running() as sidecar:
        yield sidecar


@pytest.fixture
def client(server):
    made = Client(server.address, namespace="shop")
    made._identity = Known("shop")
    yield made
    made.close()


@pytest.fixture
def away(server, monkeypatch):
    """Makes the server go away and come back after a moment, and says when it was back."""
    monkeypatch.setenv("MICRO_SERVICE_ADDRESS", "127.0.0.1:1")  # we are a service: we wait

    def go() -> list[float]:
        back: list[float] = []
        server.stop()

        def come_back() -> None:
            time.sleep(1)
            server.start()
            back.append(time.monotonic())

        threading.Thread(target=come_back).start()
        return back

    return go


@pytest.mark.parametrize("value", [b"\x00\xff", "Grüße", {"a": [1, None]}, [1, 2], 7, Customer("Joe", ["vip"])])
def test_values_come_back_in_the_shape_that_they_were_given(client, value):
    store.write("k", value, client=client)
    assert store.read("k", type(value), client=client) == value


def test_records_tell_what_the_store_knows(client):
    version = store.write("a/1", "one", expiry_s=100, metadata={"by": "joe"}, client=client)
    store.write("a/2", "two", client=client)
    store.write("b", "three", table="other", client=client)
    record = store.record("a/1", client=client)
    assert (record.version, record.metadata, record.into(str)) == (version, {"by": "joe"}, "one")
    assert 98 <= record.expiry_s <= 100
    assert [found.key for found in store.records("a/", client=client)] == ["a/1", "a/2"]
    assert [found.key for found in store.records(suffix="2", client=client)] == ["a/2"]
    assert store.keys(is_descending=True, limit=1, client=client) == ["a/2"]
    assert store.tables(client=client) == ["micro", "other"]
    store.delete("a/1", client=client)
    with pytest.raises(errors.NotFound):
        store.read("a/1", client=client)
    with pytest.raises(errors.PermissionDenied):
        store.databases(client=client)


def test_a_version_is_replaced_once(client):
    version = store.write("k", 1, expected_version=0, client=client)
    store.write("k", 2, expected_version=version, client=client)
    with pytest.raises(errors.FailedPrecondition, match="not of version"):
        store.write("k", 3, expected_version=version, client=client)


def test_a_service_has_a_table_of_its_own(client, monkeypatch):
    monkeypatch.setenv("MICRO_SERVICE_NAME", "billing")
    store.write("k", 1, client=client)
    assert store.tables(client=client) == ["billing"]


async def test_the_twins_do_the_same_without_blocking(client):
    await store.awrite("k", {"n": 1}, client=client)
    assert await store.aread("k", dict, client=client) == {"n": 1}
    await config.aset("a.b", 2, client=client)
    assert await config.aget("a.b", int, client=client) == 2
    await blob.awrite("b", b"x" * 1_000_000, client=client)
    pieces = [piece async for piece in blob.astream("b", client=client)]
    assert b"".join(pieces) == b"x" * 1_000_000
    async with config.awatch("a.b", client=client) as watch:
        assert (await anext(watch)).value == 2
        await config.aset("a.b", 3, client=client)
        async with asyncio.timeout(5):
            assert (await anext(watch)).value == 3


def test_blobs_of_every_kind_of_source(client):
    data = os.urandom(3_000_000)
    for source in (data, io.BytesIO(data), iter([data[:1000], data[1000:]])):
        info = blob.write("k", source, content_type="x/y", is_public=True, client=client)
        assert (info.size_bytes, info.content_type, info.is_public) == (len(data), "x/y", True)
        assert blob.read("k", client=client) == data
    with blob.stream("k", client=client) as reader:
        assert reader.info == info
        assert b"".join(reader) == data
    assert blob.write("t", "text", client=client).size_bytes == 4
    assert [found.key for found in blob.blobs(client=client)] == ["k", "t"]
    assert [found.key for found in blob.blobs("k", client=client)] == ["k"]
    blob.delete("k", client=client)
    with pytest.raises(errors.NotFound):
        blob.read("k", client=client)


def test_config_is_typed_and_has_a_past(client):
    assert config.get("db.port", int, default=5432, client=client) == 5432
    first = config.set("db", {"host": "localhost", "port": 1}, client=client)
    between = datetime.now(UTC)
    time.sleep(0.01)
    config.set("db.port", 2, client=client)
    config.set("db.password", "x", is_secret=True, client=client)
    assert config.get("db.port", int, client=client) == 2
    assert config.get("db.host", str, client=client) == "localhost"
    assert config.get("db.port", int, as_of=first, client=client) == 1
    assert config.get("db.port", int, as_of=between, client=client) == 1
    assert config.get("db", client=client) == {"host": "localhost", "password": "[secret]", "port": 2}
    assert config.get("db.password", str, is_secret=True, client=client) == "x"
    with pytest.raises(errors.InvalidArgument, match="no str"):
        config.get("db.port", str, client=client)
    newest, *_ = config.history("db", client=client)
    assert (newest.by, newest.action, newest.path, newest.changes[0].after) == ("joe", "set", "db.password", "[secret]")
    config.delete("db", client=client)
    assert config.get("db", client=client) is None


def test_calls_go_on_by_themselves_when_the_server_comes_back(client, away):
    store.write("k", 1, client=client)
    for call in (
        lambda: store.write("k", 2, client=client),
        lambda: store.read("k", int, client=client),
        lambda: config.set("n", 1, client=client),
        lambda: blob.blobs(client=client),
    ):
        back = away()
        call()
        assert time.monotonic() - back[0] < 10


def test_who_is_no_service_hears_at_once_that_nobody_listens(client, server):
    server.stop()
    began = time.monotonic()
    with pytest.raises(errors.Unavailable):
        store.read("k", client=client)
    assert time.monotonic() - began < 3
    server.start()


def test_a_watch_goes_on_without_a_gap_when_the_server_comes_back(client, away, server):
    config.set("n", 0, client=client)
    seen: list[int] = []

    def follow() -> None:
        with config.watch("n", client=client) as watch:
            for change in watch:
                seen.append(change.value)
                if change.value == 30:
                    return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    while not seen:
        time.sleep(0.01)
    for number in range(1, 31):
        config.set("n", number, client=client)
        if number % 10 == 0:
            away()
            time.sleep(0.3)
    thread.join(15)
    assert not thread.is_alive()
    assert seen == list(range(31))
