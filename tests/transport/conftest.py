from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from micro.errors import NotFound, PermissionDenied, Unauthenticated
from micro.proto import events_pb2, registry_pb2, store_pb2
from transport import debug
from transport.callers import Account, Caller, require_account
from transport.journal import Journal
from transport.methods import ANY_ACCOUNT, ANYONE, bidi, client_stream, server_stream, unary
from transport.server import Server
from transport.statistics import Statistics

ACCOUNTS = {
    "good": Account(id="joe", type="user", issuer="shop", name="joe", scopes=("basic",)),
    "admin": Account(id="ann", type="user", issuer="shop", name="ann", scopes=("admin",)),
}


def ADMIN(caller: Caller) -> None:
    if "admin" not in require_account(caller).scopes:
        raise PermissionDenied("the scope admin is required")


async def identify(token: str) -> Account:
    if token not in ACCOUNTS:
        raise Unauthenticated("invalid token provided")
    return ACCOUNTS[token]


async def read(request: store_pb2.ReadRequest, caller: Caller) -> store_pb2.ReadResponse:
    if request.key == "absent":
        raise NotFound("No record under 'absent'.")
    if request.key == "broken":
        raise ZeroDivisionError("secret detail")
    who = caller.account.id if caller.account else "nobody"
    record = store_pb2.Record(key=f"{request.key} for {who} in {caller.namespace}", value=b"\x00\xff", expiry=2**53 + 1)
    return store_pb2.ReadResponse(records=[record])


async def write(request: store_pb2.WriteRequest, _caller: Caller) -> store_pb2.WriteResponse:
    return store_pb2.WriteResponse()


async def listing(request: store_pb2.ListRequest, _caller: Caller) -> AsyncIterator[store_pb2.ListResponse]:
    for number in range(request.options.limit):
        yield store_pb2.ListResponse(keys=[str(number)])
    if request.options.prefix == "broken":
        raise NotFound("Gone.")


async def collect(requests: AsyncIterator[store_pb2.BlobWriteRequest], _caller: Caller) -> registry_pb2.Service:
    return registry_pb2.Service(name=b"".join([request.blob async for request in requests]).decode())


async def consume(requests: AsyncIterator[events_pb2.AckRequest], _caller: Caller) -> AsyncIterator[events_pb2.Event]:
    async for request in requests:
        yield events_pb2.Event(id=request.id)


STORE = {
    "Store.Read": unary(read, request=store_pb2.ReadRequest, response=store_pb2.ReadResponse, scope=ANYONE),
    "Store.Write": unary(write, request=store_pb2.WriteRequest, response=store_pb2.WriteResponse, scope=ANY_ACCOUNT),
    "Store.Delete": unary(write, request=store_pb2.WriteRequest, response=store_pb2.WriteResponse, scope=ADMIN),
    "Store.List": server_stream(listing, request=store_pb2.ListRequest, response=store_pb2.ListResponse, scope=ANYONE),
    "BlobStore.Write": client_stream(
        collect, request=store_pb2.BlobWriteRequest, response=registry_pb2.Service, scope=ANYONE
    ),
}
EVENTS = {
    "Stream.Consume": bidi(consume, request=events_pb2.AckRequest, response=events_pb2.Event, scope=ANYONE),
    "Store.Read": server_stream(listing, request=store_pb2.ListRequest, response=store_pb2.ListResponse, scope=ANYONE),
}


@pytest.fixture
async def socket(tmp_path_factory) -> AsyncIterator[str]:
    """The address of a server of a store and of events; `identify` knows the tokens good and admin."""
    path = Path(tmp_path_factory.mktemp("s")) / "s.sock"
    statistics = Statistics()
    services = {"store": STORE, "events": EVENTS, "debug": debug.methods(statistics, Journal(), operators=ADMIN)}
    server = grpc.aio.server()
    Server(services, identify=identify, statistics=statistics).mount(server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    yield f"unix:{path}"
    await server.stop(None)


@pytest.fixture
async def channel(socket) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(socket) as channel:
        yield channel
