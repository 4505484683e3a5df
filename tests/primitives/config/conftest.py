from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from micro.proto import config_pb2
from primitives.config import records, rpc
from tests.primitives.store.conftest import Client, namespaces, no_plans, served  # noqa: F401 - fixtures


class Config:
    """One account's calls."""

    def __init__(self, channel: grpc.aio.Channel, token: str | None) -> None:
        self.call = Client(channel, token)
        self.channel = channel

    async def get_text(self, path: str = "", *, secret: bool = False, **rest) -> str:
        request = config_pb2.GetRequest(path=path, options={"secret": secret}, **rest)
        return (await self.call("Config.Get", request, config_pb2.GetResponse)).value.data

    async def get(self, path: str = "", **rest):
        return json.loads(await self.get_text(path, **rest))

    async def set_text(self, path: str, data: str, *, secret: bool = False, **rest) -> int:
        request = config_pb2.SetRequest(path=path, value={"data": data}, options={"secret": secret}, **rest)
        return (await self.call("Config.Set", request, config_pb2.SetResponse)).revision

    async def set(self, path: str, value, **rest) -> int:
        return await self.set_text(path, json.dumps(value), **rest)

    async def delete(self, path: str, **rest) -> int:
        request = config_pb2.DeleteRequest(path=path, **rest)
        return (await self.call("Config.Delete", request, config_pb2.DeleteResponse)).revision

    async def history(self, path: str = "", **rest) -> list[config_pb2.Revision]:
        request = config_pb2.RevisionsRequest(path=path, **rest)
        return list((await self.call("Revisions.List", request, config_pb2.RevisionsResponse)).revisions)

    async def watch(self, path: str = "", **rest) -> AsyncIterator[config_pb2.WatchResponse]:
        request = config_pb2.WatchRequest(path=path, **rest)
        method = self.channel.unary_stream("/config.Revisions/Watch")
        call = method(request.SerializeToString(), metadata=self.call.metadata)
        try:
            async for frame in call:
                yield config_pb2.WatchResponse.FromString(frame)
        finally:
            call.cancel()


@pytest.fixture
async def channel(namespaces, tmp_path_factory, monkeypatch) -> AsyncIterator[grpc.aio.Channel]:  # noqa: F811
    monkeypatch.setattr(records, "_cache", records._Cache())
    address = f"unix:{tmp_path_factory.mktemp('s') / 's.sock'}"
    async with served(address, {"config": rpc.METHODS}) as channel:
        yield channel


@pytest.fixture
def shop(channel) -> Config:
    return Config(channel, "shop")


@pytest.fixture
def rival(channel) -> Config:
    return Config(channel, "rival")
