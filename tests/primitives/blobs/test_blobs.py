from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import timedelta

import grpc
import grpc.aio
import psutil
import pytest
from django.utils.timezone import now

from micro.proto import store_pb2
from primitives.blobs import operations, uploads
from primitives.blobs.models import Blob, Leftover
from primitives.blobs.storage import storage
from tests.primitives.blobs.conftest import ONE_MIB, Blobs, files
from tests.primitives.store.conftest import refused
from tests.primitives.store.test_records import ODD_NAMES
from transport.tenancy import in_tenant

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
DENIED = grpc.StatusCode.PERMISSION_DENIED
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_blob_is_read_as_it_was_written(shop):
    pieces = [os.urandom(700_000) for _ in range(5)]
    written = await shop.write("report.pdf", pieces, contentType="application/pdf")
    data, info = await shop.read("report.pdf")
    assert data == b"".join(pieces)
    assert info == written
    assert (info.key, info.size_bytes, info.content_type, info.public) == (
        "report.pdf",
        len(data),
        "application/pdf",
        False,
    )
    assert info.sha256 == hashlib.sha256(data).hexdigest()


async def test_an_empty_blob_is_a_blob(shop):
    await shop.write("empty", [b""])
    data, info = await shop.read("empty")
    assert (data, info.size_bytes) == (b"", 0)


async def test_a_blob_is_replaced_whole_and_nothing_of_the_old_one_stays(shop, folder):
    await shop.write("k", [b"old" * 1000])
    await shop.write("k", [b"new"])
    assert (await shop.read("k"))[0] == b"new"
    assert len(files(folder)) == 1


async def test_a_deleted_blob_leaves_nothing(shop, folder):
    await shop.write("k", [b"v"])
    await shop.delete("k")
    await shop.delete("k")
    async with refused(NOT_FOUND, match="Blob not found"):
        await shop.read("k")
    assert await shop.keys() == []
    assert files(folder) == []


async def test_keys_of_any_characters_are_found_exactly(shop):
    for name in ODD_NAMES:
        await shop.write(name, [name.encode()])
    assert await shop.keys() == sorted(ODD_NAMES, key=str.encode)
    for name in ODD_NAMES:
        assert (await shop.read(name))[0] == name.encode()
        expected = sorted((other for other in ODD_NAMES if other.startswith(name)), key=str.encode)
        assert await shop.keys(prefix=name) == expected


async def test_keys_are_listed_in_parts(shop):
    for number in range(7):
        await shop.write(f"k{number}", [b""])
    assert await shop.keys(limit=3) == ["k0", "k1", "k2"]
    assert await shop.keys(limit=3, after="k2") == ["k3", "k4", "k5"]


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "No blob was sent"),
        ([store_pb2.BlobWriteRequest(blob=b"x")], "Missing key"),
        ([store_pb2.BlobWriteRequest(key="x" * 1025)], "key"),
        ([store_pb2.BlobWriteRequest(key="k", options={"contentType": "x" * 256})], "contentType"),
        ([store_pb2.BlobWriteRequest(key="k", options={"contentType": "a\r\nb"})], "contentType"),
    ],
)
async def test_bad_writes_are_refused_by_name(shop, folder, requests, field):
    async with refused(INVALID, match=field):
        await shop.call.stream("BlobStore.Write", requests, store_pb2.BlobWriteResponse)
    assert files(folder) == []


async def test_a_write_that_is_cut_off_leaves_no_blob_and_no_file(shop, folder):
    async def half():
        yield store_pb2.BlobWriteRequest(key="k", blob=b"x" * ONE_MIB).SerializeToString()
        await asyncio.sleep(60)

    call = shop.channel.stream_stream("/store.BlobStore/Write")(half(), metadata=shop.call.metadata)
    reading = asyncio.ensure_future(call.read())
    async with asyncio.timeout(5):
        while not files(folder):
            await asyncio.sleep(0.02)
    call.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    async with asyncio.timeout(5):
        while files(folder):
            await asyncio.sleep(0.02)
    assert await shop.keys() == []


async def test_what_is_larger_than_allowed_is_refused_while_it_comes_in(shop, folder, settings):
    settings.MICRO_DEFAULT_BLOB_BYTES = 10 * ONE_MIB
    await shop.write("first", [b"x" * ONE_MIB] * 4)
    async with refused(EXHAUSTED, match="delete some first"):
        await shop.write("second", [b"x" * ONE_MIB] * 7)
    assert len(files(folder)) == 1
    await shop.write("second", [b"x" * ONE_MIB] * 6)
    await shop.write("first", [b"y" * ONE_MIB] * 4)
    assert await shop.keys() == ["first", "second"]


async def test_writers_at_once_cannot_share_what_is_left(shop, folder, settings):
    settings.MICRO_DEFAULT_BLOB_BYTES = 5 * 64 * 1024
    results = await asyncio.gather(
        *(shop.write(f"k{number}", [b"x" * 64 * 1024]) for number in range(100)), return_exceptions=True
    )
    refusals = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert len(refusals) == 95
    assert {error.code() for error in refusals} == {EXHAUSTED}
    assert len(files(folder)) == len(await shop.keys()) == 5


async def test_of_writers_to_one_key_one_wins_and_the_others_leave_nothing(shop, folder):
    values = [bytes([number]) * ONE_MIB for number in range(10)]
    await asyncio.gather(*(shop.write("k", [value]) for value in values))
    assert (await shop.read("k"))[0] in values
    assert len(files(folder)) == 1


async def test_a_large_blob_takes_no_memory(shop, folder):
    """Up and down in this very process: client, server and all."""
    process, pieces = psutil.Process(), 256
    before = process.memory_info().rss
    highest = before
    piece = os.urandom(ONE_MIB)

    async def send():
        nonlocal highest
        for number in range(pieces):
            yield store_pb2.BlobWriteRequest(key="" if number else "k", blob=piece).SerializeToString()
            highest = max(highest, process.memory_info().rss)

    call = shop.channel.stream_stream("/store.BlobStore/Write")(send(), metadata=shop.call.metadata)
    assert store_pb2.BlobWriteResponse.FromString(await call.read()).info.size_bytes == pieces * ONE_MIB
    request = store_pb2.BlobReadRequest(key="k").SerializeToString()
    size_bytes = 0
    async for frame in shop.channel.stream_stream("/store.BlobStore/Read")(
        iter([request]), metadata=shop.call.metadata
    ):
        size_bytes += len(store_pb2.BlobReadResponse.FromString(frame).blob)
        highest = max(highest, process.memory_info().rss)
    assert size_bytes == pieces * ONE_MIB
    assert highest - before < 64 * ONE_MIB


async def test_what_a_killed_process_left_behind_is_removed(shop, folder):
    await shop.write("k", [b"v"])

    def leave(name: str, since) -> None:
        with storage().open(name, "wb") as file:
            file.write(b"half")
        Leftover.objects.create(object=name, since=since)

    old = Blob.__name__ + "-old"
    await in_tenant("shop", leave, old, now() - timedelta(hours=2))
    await in_tenant("shop", leave, "young", now())
    await in_tenant("shop", operations.remove_leftovers, at=now())
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["young"]
    assert (await shop.read("k"))[0] == b"v"
    abandoned = uploads.incoming() / "abandoned"
    abandoned.write_bytes(b"x")
    os.utime(abandoned, (0, 0))
    uploads.remove_abandoned()
    assert not abandoned.exists()


async def test_files_are_the_servers_own(shop, folder):
    await shop.write("k", [b"v"])
    (path,) = files(folder)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


async def test_a_public_blob_is_everybodys_and_no_other(channel, shop, rival):
    await shop.write("logo", [b"public"], public=True)
    await shop.write("plan", [b"private"])
    nobody = Blobs(channel, None)
    assert (await rival.read("logo", namespace="shop"))[0] == b"public"
    assert (await nobody.read("logo", namespace="shop"))[0] == b"public"
    answers = set()
    for key, namespace in [("plan", "shop"), ("absent", "shop"), ("plan", "absent"), ("plan", "micro")]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rival.read(key, namespace=namespace)
        answers.add((caught.value.code(), caught.value.details()))
        async with refused(grpc.StatusCode.UNAUTHENTICATED):
            await nobody.read(key, namespace=namespace)
    assert {code for code, _ in answers} == {DENIED}
    assert len(answers) == 1


async def test_nobody_writes_lists_or_deletes_in_anothers_namespace(channel, shop, rival):
    await shop.write("logo", [b"public"], public=True)
    for namespace in ("shop", "absent", "micro", "*"):
        async with refused(DENIED):
            await rival.write("logo", [b"evil"], namespace=namespace)
        async with refused(DENIED):
            await rival.delete("logo", namespace=namespace)
        async with refused(DENIED):
            await rival.keys(namespace=namespace)
    assert await rival.keys() == []
    await rival.delete("logo")
    async with refused(NOT_FOUND):
        await rival.read("logo")
    assert (await shop.read("logo"))[0] == b"public"
    nobody = Blobs(channel, None)
    async with refused(grpc.StatusCode.UNAUTHENTICATED):
        await nobody.write("k", [b"v"], namespace="shop")


def test_every_method_was_tried_by_a_stranger_above():
    service = store_pb2.DESCRIPTOR.services_by_name["BlobStore"]
    assert {method.name for method in service.methods} == {"Read", "Write", "List", "Delete"}
