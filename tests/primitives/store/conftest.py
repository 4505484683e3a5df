from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import psycopg
import pytest
from django.db import connections

from micro.errors import Unauthenticated
from micro.proto import store_pb2
from primitives.store import rpc
from tenants import quotas
from tenants.models import Namespace
from tenants.operations import create_namespace, give_plan, set_plan
from transport import database
from transport.callers import Account
from transport.server import OPTIONS, Server

ACCOUNTS = {
    "shop": Account(id="joe", type="user", issuer="shop", name="joe"),
    "rival": Account(id="eve", type="user", issuer="rival", name="eve", scopes=("admin", "service")),
    "platform": Account(id="admin", type="user", issuer="micro", name="admin", scopes=("admin",)),
    "visitor": Account(id="guest", type="user", issuer="micro", name="guest"),
}


async def identify(token: str) -> Account:
    if token not in ACCOUNTS:
        raise Unauthenticated("invalid token provided")
    return ACCOUNTS[token]


@pytest.fixture
def namespaces(transactional_db) -> Iterator[None]:
    for slug in ("shop", "rival"):
        create_namespace(slug=slug)
    yield
    connections.close_all()


def _path(endpoint: str) -> str:
    return f"/store.{endpoint.replace('.', '/')}"


class Client:
    """One account's calls of a served table of methods."""

    def __init__(self, channel: grpc.aio.Channel, token: str | None) -> None:
        self.channel = channel
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    async def __call__(self, endpoint: str, request, response=None):
        """One message in, one out."""
        call = self.channel.unary_unary(_path(endpoint))
        reply = await call(request.SerializeToString(), metadata=self.metadata, timeout=10)
        return response.FromString(reply) if response else reply

    async def stream(self, endpoint: str, requests, response) -> list:
        """Any messages in, a list of those that come out."""
        call = self.channel.stream_stream(_path(endpoint))
        frames = call(iter([request.SerializeToString() for request in requests]), metadata=self.metadata)
        return [response.FromString(frame) async for frame in frames]

    async def write(self, key: str, value: bytes = b"v", *, table: str = "", database: str = "", **rest) -> int:
        options = {"table": table, "database": database}
        if "expected_version" in rest:
            options["expected_version"] = rest.pop("expected_version")
        request = store_pb2.WriteRequest(record={"key": key, "value": value, **rest}, options=options)
        return (await self("Store.Write", request, store_pb2.WriteResponse)).version

    async def read(self, key: str, **options) -> list[store_pb2.Record]:
        request = store_pb2.ReadRequest(key=key, options=options)
        return list((await self("Store.Read", request, store_pb2.ReadResponse)).records)

    async def delete(self, key: str, **options) -> None:
        await self("Store.Delete", store_pb2.DeleteRequest(key=key, options=options))

    async def keys(self, **options) -> list[str]:
        (reply,) = await self.stream("Store.List", [store_pb2.ListRequest(options=options)], store_pb2.ListResponse)
        return list(reply.keys)

    async def tables(self, database: str = "") -> list[str]:
        request = store_pb2.TablesRequest(database=database)
        return list((await self("Store.Tables", request, store_pb2.TablesResponse)).tables)


@asynccontextmanager
async def served(address: str, services) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server of `services` on a Unix socket."""
    server = grpc.aio.server(options=OPTIONS)
    Server(services, identify=identify).mount(server)
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        yield channel
    await server.stop(None)
    await database.close()


@pytest.fixture
async def channel(namespaces, tmp_path_factory) -> AsyncIterator[grpc.aio.Channel]:
    async with served(f"unix:{tmp_path_factory.mktemp('s') / 's.sock'}", {"store": rpc.METHODS}) as channel:
        yield channel


@pytest.fixture
def shop(channel) -> Client:
    return Client(channel, "shop")


@pytest.fixture
def rival(channel) -> Client:
    return Client(channel, "rival")


@asynccontextmanager
async def refused(*codes: grpc.StatusCode, match: str = ""):
    """The block's call ends with one of `codes`, and says `match`."""
    with pytest.raises(grpc.aio.AioRpcError, match=match or None) as caught:
        yield
    assert caught.value.code() in codes, caught.value.details()


async def sql(statement: str, *values) -> list[tuple]:
    """What the database itself says."""
    async with await psycopg.AsyncConnection.connect(database.conninfo(), autocommit=True) as own:
        cursor = await own.execute(statement, values)
        return await cursor.fetchall() if cursor.description else []


async def usage(slug: str) -> tuple[int, int]:
    """The records and bytes that are booked for a namespace."""
    return (
        await sql(
            "SELECT records, size_bytes FROM store_usage"
            " JOIN tenants_namespace n ON n.id = namespace_id WHERE slug = %s",
            slug,
        )
    )[0]


async def counted(slug: str) -> tuple[int, int]:
    """The records and bytes that a namespace really has."""
    return (
        await sql(
            "SELECT count(*), coalesce(sum(size_bytes), 0)::int8 FROM store_record"
            " JOIN tenants_namespace n ON n.id = namespace_id WHERE slug = %s",
            slug,
        )
    )[0]


def limit(slug: str, **limits: int) -> None:
    """Give a namespace a plan of its own, and let this process know."""
    plan = set_plan(name=f"of-{slug}", **limits)
    give_plan(namespace=Namespace.objects.get(slug=slug), plan=plan)
    asyncio.run(quotas.known.load())


@pytest.fixture(autouse=True)
def no_plans(monkeypatch) -> None:
    """What other tests have loaded."""
    monkeypatch.setattr(quotas, "known", quotas.Known())
