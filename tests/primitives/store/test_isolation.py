from __future__ import annotations

import grpc
import grpc.aio
import pytest

from micro.proto import store_pb2
from tests.primitives.store.conftest import Client, refused

CALLS = {
    "Store.Read": [
        lambda database: store_pb2.ReadRequest(key="k", options={"database": database}),
        lambda database: store_pb2.ReadRequest(key="", options={"database": database, "prefix": True}),
        lambda database: store_pb2.ReadRequest(key="", options={"database": database, "suffix": True, "limit": 1}),
    ],
    "Store.Write": [
        lambda database: store_pb2.WriteRequest(record={"key": "k", "value": b"evil"}, options={"database": database}),
        lambda database: store_pb2.WriteRequest(
            record={"key": "k"}, options={"database": database, "expected_version": 0}
        ),
    ],
    "Store.Delete": [
        lambda database: store_pb2.DeleteRequest(key="k", options={"database": database}),
        lambda database: store_pb2.DeleteRequest(key="k", options={"database": database, "expected_version": 9}),
    ],
    "Store.List": [lambda database: store_pb2.ListRequest(options={"database": database})],
    "Store.Tables": [lambda database: store_pb2.TablesRequest(database=database)],
}
ATTEMPTS = [(endpoint, make) for endpoint, makers in CALLS.items() for make in makers]
FOREIGN = ["shop", "micro", "absent", "*", "%", "shop ", "SHOP", "rival/../shop", "shop'--"]


def test_every_method_that_names_a_database_is_tried():
    service = store_pb2.DESCRIPTOR.services_by_name["Store"]
    assert set(CALLS) == {f"Store.{method.name}" for method in service.methods} - {"Store.Databases"}


async def outcome(client: Client, endpoint: str, request) -> tuple[grpc.StatusCode, str]:
    frames = client.channel.stream_stream(f"/store.{endpoint.replace('.', '/')}")(
        iter([request.SerializeToString()]), metadata=client.metadata
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        assert [frame async for frame in frames] == []
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(("endpoint", "make"), ATTEMPTS)
async def test_another_namespaces_database_is_refused_the_same_whether_it_exists_or_not(shop, rival, endpoint, make):
    await shop.write("k", b"ours")
    answers = {await outcome(rival, endpoint, make(database)) for database in FOREIGN}
    assert {code for code, _ in answers} == {grpc.StatusCode.PERMISSION_DENIED}
    assert len(answers) == 1
    assert "shop" not in answers.pop()[1]
    assert (await shop.read("k"))[0].value == b"ours"
    assert await shop.keys() == ["k"]


@pytest.mark.parametrize(("endpoint", "make"), ATTEMPTS)
async def test_nothing_works_without_an_account(channel, shop, endpoint, make):
    await shop.write("k", b"ours")
    code, _ = await outcome(Client(channel, None), endpoint, make("shop"))
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_blank_database_is_the_callers_own_whatever_the_headers_say(shop, rival):
    await shop.write("k", b"ours")
    rival.metadata += [("micro-namespace", "shop"), ("micro-database", "shop"), ("micro-table", "micro")]
    assert await rival.read("", prefix=True) == []
    await rival.write("k", b"theirs")
    await rival.delete("other")
    assert (await shop.read("k"))[0].value == b"ours"
    assert (await rival.read("k"))[0].value == b"theirs"
    await rival.delete("k")
    assert (await shop.read("k"))[0].value == b"ours"


async def test_a_prefix_never_reaches_into_a_neighbouring_name(shop):
    await shop.write("a/b/1")
    await shop.write("a/bc/1")
    await shop.write("1", table="a")
    await shop.write("2", table="ab")
    assert await shop.keys(prefix="a/b/") == ["a/b/1"]
    assert await shop.keys(table="a") == ["1"]
    assert [record.key for record in await shop.read("a/b/", prefix=True)] == ["a/b/1"]


async def test_an_admin_of_the_platform_works_in_every_namespace_that_exists(channel, shop):
    admin = Client(channel, "platform")
    await admin.write("k", b"1", database="shop")
    assert (await shop.read("k"))[0].value == b"1"
    assert await admin.keys(database="shop") == ["k"]
    async with refused(grpc.StatusCode.NOT_FOUND, match="'absent' does not exist"):
        await admin.write("k", database="absent")
    assert await admin.keys(database="absent") == []
    async with refused(grpc.StatusCode.PERMISSION_DENIED):
        await Client(channel, "visitor").read("k", database="shop")
