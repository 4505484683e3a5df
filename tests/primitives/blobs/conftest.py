from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import grpc.aio
import pytest
from django.core.files.storage import storages
from django.test import override_settings

from micro.proto import store_pb2
from primitives.blobs import rpc
from tests.primitives.store.conftest import Client, namespaces, served  # noqa: F401 - a fixture

ONE_MIB = 1024 * 1024


class Blobs:
    """One account's calls."""

    def __init__(self, channel: grpc.aio.Channel, token: str | None) -> None:
        self.call = Client(channel, token)
        self.channel = channel

    async def write(self, key: str, pieces: Iterable[bytes], **options) -> store_pb2.BlobInfo:
        first, *rest = [store_pb2.BlobWriteRequest(blob=piece) for piece in pieces]
        first.key = key
        first.options.CopyFrom(store_pb2.BlobOptions(**options))
        (reply,) = await self.call.stream("BlobStore.Write", [first, *rest], store_pb2.BlobWriteResponse)
        return reply.info

    async def read(self, key: str, **options) -> tuple[bytes, store_pb2.BlobInfo]:
        request = store_pb2.BlobReadRequest(key=key, options=options)
        replies = await self.call.stream("BlobStore.Read", [request], store_pb2.BlobReadResponse)
        return b"".join(reply.blob for reply in replies), replies[0].info

    async def delete(self, key: str, **options) -> None:
        await self.call("BlobStore.Delete", store_pb2.BlobDeleteRequest(key=key, options=options))

    async def keys(self, **options) -> list[str]:
        request = store_pb2.BlobListRequest(options=options)
        return list((await self.call("BlobStore.List", request, store_pb2.BlobListResponse)).keys)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where the blobs are; nothing but blobs, folders and uploads is in it."""
    return tmp_path / "blobs"


@pytest.fixture
def file_storage(folder, settings):
    settings.MICRO_BLOB_FOLDER = folder
    options = settings.STORAGES["blobs"]["OPTIONS"] | {"location": str(folder)}
    with override_settings(STORAGES=settings.STORAGES | {"blobs": settings.STORAGES["blobs"] | {"OPTIONS": options}}):
        yield storages["blobs"]


@pytest.fixture
async def channel(namespaces, file_storage, tmp_path_factory) -> AsyncIterator[grpc.aio.Channel]:  # noqa: F811
    address = f"unix:{tmp_path_factory.mktemp('s') / 's.sock'}"
    async with served(address, {"store": rpc.METHODS}) as channel:
        yield channel


@pytest.fixture
def shop(channel) -> Blobs:
    return Blobs(channel, "shop")


@pytest.fixture
def rival(channel) -> Blobs:
    return Blobs(channel, "rival")


def files(folder: Path) -> list[Path]:
    """Every file in the storage's folder, uploads under way included."""
    return [path for path in folder.rglob("*") if path.is_file()]
