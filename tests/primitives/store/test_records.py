from __future__ import annotations

import asyncio

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micro.proto import store_pb2
from primitives.store.records import after_prefix
from tests.primitives.store.conftest import Client, counted, refused, sql, usage

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

ODD_NAMES = [
    *(
        " ",
        ".",
        "*",
        ">",
        "%",
        "_",
        "a b",
        "a.b",
        "a*",
        "orders.>",
        "100%",
        "\\",
        "'",
        '"',
        "{}",
        "[]",
        "$1",
        "\n",
        "\t",
    ),
    *(
        "../x",
        "/",
        "//",
        "é",
        "e\u0301",
        "日本",
        "👍",
        "\u202e",
        "\ufeff",
        "\ud7ff",
        "\ue000",
        "\U0010ffff",
        "\x01",
        "\x7f",
    ),
    *("x" * 1024, "é" * 512, "👍" * 256, "%s", "%(key)s", "NULL", "a/b", "a/bc", "A/b"),
]


async def test_what_is_written_is_read_exactly(shop):
    value = bytes(range(256)) * 300
    version = await shop.write("k", value, metadata={"size": {"type": "int", "value": "7 é"}})
    (record,) = await shop.read("k")
    assert (record.key, record.value, record.expiry, record.version) == ("k", value, 0, version)
    assert dict(record.metadata) == {"size": store_pb2.Field(type="int", value="7 é")}


async def test_a_write_replaces_the_record_whole(shop):
    await shop.write("k", b"one", expiry=60, metadata={"a": {"value": "b"}})
    await shop.write("k", b"two")
    (record,) = await shop.read("k")
    assert (record.value, record.expiry, dict(record.metadata)) == (b"two", 0, {})


async def test_an_empty_value_is_a_value(shop):
    await shop.write("k", b"")
    assert (await shop.read("k"))[0].value == b""


async def test_keys_and_tables_of_any_characters_are_found_exactly(shop):
    for name in ODD_NAMES:
        await shop.write(name, name.encode())
        await shop.write("k", name.encode(), table=name)
    assert await shop.keys() == sorted(ODD_NAMES, key=str.encode)
    assert await shop.tables() == sorted({*ODD_NAMES, "micro"}, key=str.encode)
    for name in ODD_NAMES:
        assert [record.value for record in await shop.read(name)] == [name.encode()]
        assert [record.value for record in await shop.read("k", table=name)] == [name.encode()]
        expected = sorted((other for other in ODD_NAMES if other.startswith(name)), key=str.encode)
        assert [record.key for record in await shop.read(name, prefix=True)] == expected
        assert await shop.keys(prefix=name) == expected
        expected = sorted((other for other in ODD_NAMES if other.endswith(name)), key=str.encode)
        assert await shop.keys(suffix=name) == expected
    for name in ODD_NAMES:
        await shop.delete(name)
    assert await shop.keys() == []


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)
def test_everything_with_a_prefix_is_below_what_comes_after_it(prefix, rest):
    above = after_prefix(prefix)
    if above is None:
        assert set(prefix) == {"\U0010ffff"}
    else:
        assert prefix.encode() <= (prefix + rest).encode() < above.encode()
        assert not above.startswith(prefix)


async def test_a_blank_table_is_the_table_micro(shop):
    await shop.write("k", b"1")
    assert [record.value for record in await shop.read("k", table="micro")] == [b"1"]
    async with refused(NOT_FOUND):
        await shop.read("k", table="other")


async def test_reading_nothing_is_not_found_and_a_prefix_of_nothing_is_empty(shop):
    async with refused(NOT_FOUND, match='"detail": "not found"'):
        await shop.read("absent")
    assert await shop.read("absent", prefix=True) == []
    assert await shop.keys() == []
    assert await shop.tables() == []
    await shop.delete("absent")


async def test_order_limit_and_offset(shop):
    names = [f"a/{number:02}" for number in range(10)]
    for name in reversed(names):
        await shop.write(name)
    assert await shop.keys(prefix="a/", limit=3) == names[:3]
    assert await shop.keys(prefix="a/", limit=3, offset=2) == names[2:5]
    assert await shop.keys(order="desc", limit=2) == [names[9], names[8]]
    assert [record.key for record in await shop.read("a/", prefix=True, limit=2, offset=8)] == names[8:]
    assert [record.key for record in await shop.read("a/", prefix=True, order="desc", limit=1)] == names[9:]
    assert [record.key for record in await shop.read("3", suffix=True)] == ["a/03"]
    assert await shop.keys(limit=2**64 - 1, offset=2**64 - 1) == []
    assert await shop.keys(limit=2**64 - 1) == names


async def test_an_expired_record_is_gone_at_once_for_every_call(shop):
    await shop.write("old", expiry=1)
    await shop.write("lasting", expiry=100)
    assert (await shop.read("old"))[0].expiry == 1
    assert (await shop.read("lasting"))[0].expiry in (99, 100)
    await asyncio.sleep(1.05)
    async with refused(NOT_FOUND):
        await shop.read("old")
    assert await shop.keys() == ["lasting"]
    assert [record.key for record in await shop.read("", prefix=True)] == ["lasting"]
    async with refused(PRECONDITION):
        await shop.delete("old", expected_version=1)
    assert await shop.write("old", expected_version=0) > 1
    assert await usage("shop") == await counted("shop")


async def test_only_the_expected_version_is_replaced_or_deleted(shop):
    first = await shop.write("k", b"1", expected_version=0)
    async with refused(PRECONDITION, match="'k' is not of version 0"):
        await shop.write("k", b"2", expected_version=0)
    second = await shop.write("k", b"2", expected_version=first)
    assert second > first
    async with refused(PRECONDITION):
        await shop.delete("k", expected_version=first)
    await shop.delete("k", expected_version=second)
    third = await shop.write("k", b"1", expected_version=0)
    assert third > second, "a version that was used once must not come back with the key"


async def test_of_many_that_compare_and_set_one_wins_each_round(shop):
    await shop.write("n", b"0")

    async def increment() -> None:
        while True:
            (record,) = await shop.read("n")
            try:
                await shop.write("n", b"%d" % (int(record.value) + 1), expected_version=record.version)
            except grpc.aio.AioRpcError as error:
                if error.code() is not PRECONDITION:
                    raise
            else:
                return

    await asyncio.gather(*(increment() for _ in range(40)))
    assert (await shop.read("n"))[0].value == b"40"


async def test_calls_that_share_a_batch_each_get_their_own_answer(shop, rival):
    clients = {"shop": shop, "rival": rival}
    keys = [(name, f"k{number}") for number in range(300) for name in clients]
    await asyncio.gather(*(clients[name].write(key, f"{name} {key}".encode()) for name, key in keys))
    found = await asyncio.gather(*(clients[name].read(key) for name, key in keys))
    assert [records[0].value.decode() for records in found] == [f"{name} {key}" for name, key in keys]
    absent = await asyncio.gather(*(shop.read(f"absent{n}") for n in range(50)), return_exceptions=True)
    assert {error.code() for error in absent} == {NOT_FOUND}
    assert await usage("shop") == await counted("shop")


async def test_writes_to_one_key_at_once_leave_the_last_version(shop):
    versions = await asyncio.gather(*(shop.write("k", f"{number}".encode()) for number in range(200)))
    assert len(set(versions)) == 200
    (record,) = await shop.read("k")
    assert record.version == max(versions)
    assert record.value == f"{versions.index(max(versions))}".encode()
    assert await usage("shop") == await counted("shop") == (1, len("k") + len(record.value))


@pytest.mark.parametrize(
    ("code", "field", "endpoint", "payload"),
    [
        (INVALID, "no record specified", "Store.Write", {}),
        (INVALID, "Missing key", "Store.Write", {"record": {}}),
        (INVALID, "Missing key", "Store.Read", {}),
        (INVALID, "Missing key", "Store.Delete", {}),
        (INVALID, "key", "Store.Write", {"record": {"key": "x" * 1025}}),
        (INVALID, "key", "Store.Write", {"record": {"key": "é" * 513}}),
        (INVALID, "table", "Store.Write", {"record": {"key": "k"}, "options": {"table": "x" * 1025}}),
        (INVALID, "expiry", "Store.Write", {"record": {"key": "k", "expiry": -1}}),
        (INVALID, "expiry", "Store.Write", {"record": {"key": "k", "expiry": 2**63 - 1}}),
        (INVALID, "order", "Store.Read", {"key": "k", "options": {"prefix": True, "order": "random()"}}),
        (INVALID, "key", "Store.Read", {"key": "a\0b"}),
        (INVALID, "value", "Store.Write", {"record": {"key": "k", "metadata": {"m": {"value": "\0"}}}}),
        (EXHAUSTED, "value", "Store.Write", {"record": {"key": "k", "value": b"x" * (4 * 1024 * 1024 + 1)}}),
        (EXHAUSTED, "metadata", "Store.Write", {"record": {"key": "k", "metadata": {"m": {"value": "x" * 70_000}}}}),
        (PRECONDITION, "version", "Store.Write", {"record": {"key": "k"}, "options": {"expected_version": -1}}),
    ],
)
async def test_bad_requests_are_refused_by_name(shop, code, field, endpoint, payload):
    kind = {"Write": store_pb2.WriteRequest, "Read": store_pb2.ReadRequest, "Delete": store_pb2.DeleteRequest}
    async with refused(code, match=field):
        await shop(endpoint, kind[endpoint.partition(".")[2]](**payload))


async def test_the_longest_expiry_is_far_away(shop):
    await shop.write("k", expiry=9_223_372_036)
    assert (await shop.read("k"))[0].expiry == 9_223_372_036


async def test_an_answer_that_would_be_too_large_is_refused_with_the_way_out(shop):
    for number in range(4):
        await shop.write(f"big{number}", b"x" * 4_000_000)
    async with refused(EXHAUSTED, match="limit and offset"):
        await shop.read("big", prefix=True)
    assert len(await shop.read("big", prefix=True, limit=2, offset=2)) == 2


async def test_a_long_list_comes_in_several_messages(channel, shop):
    await shop.write("seed")
    await sql(
        'INSERT INTO store_record (namespace_id, "table", key, value, version, size_bytes)'
        " SELECT namespace_id, 'many', repeat('x', 500) || lpad(n::text, 6, '0'), '', n, 506"
        " FROM store_record, generate_series(1, 25000) AS n"
    )
    request = store_pb2.ListRequest(options={"table": "many"})
    replies = await shop.stream("Store.List", [request], store_pb2.ListResponse)
    keys = [key for reply in replies for key in reply.keys]
    assert len(replies) > 1
    assert max(reply.ByteSize() for reply in replies) < 4 * 1024 * 1024
    assert keys == sorted(keys)
    assert len(set(keys)) == 25_000


async def test_databases_are_listed_to_the_platform_alone(channel, shop, rival):
    await shop.write("k")
    await rival.write("k")

    async def databases(token: str) -> list[str]:
        reply = await Client(channel, token)(
            "Store.Databases", store_pb2.DatabasesRequest(), store_pb2.DatabasesResponse
        )
        return list(reply.databases)

    assert await databases("platform") == ["rival", "shop"]
    for token in ("visitor", "shop"):
        async with refused(grpc.StatusCode.PERMISSION_DENIED):
            await databases(token)
