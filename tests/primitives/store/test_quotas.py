from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from primitives.store import operations
from tests.primitives.store.conftest import counted, limit, refused, sql, usage
from transport import database
from transport.tenancy import in_public

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


async def outcomes(calls) -> list[str]:
    """`ok` or the status of each call, all made at once."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [result.code().name if isinstance(result, grpc.aio.AioRpcError) else "ok" for result in results]


async def test_one_record_more_than_allowed_is_refused_with_a_hint(namespaces, shop):
    await in_public(limit, "shop", records=3)
    for number in range(3):
        await shop.write(f"k{number}")
    async with refused(EXHAUSTED, match="may store 3 records: delete some first"):
        await shop.write("k3")
    await shop.write("k0", b"replacing is no growth")
    await shop.delete("k1")
    await shop.write("k3")
    assert await usage("shop") == await counted("shop")


async def test_one_byte_more_than_allowed_is_refused(shop):
    await in_public(limit, "shop", record_bytes=1000)
    await shop.write("k", b"x" * 999)
    async with refused(EXHAUSTED, match="1000 bytes"):
        await shop.write("k", b"x" * 1000)
    await shop.write("k", b"x" * 10)
    await shop.write("é", b"x" * 987)
    async with refused(EXHAUSTED):
        await shop.write("l", b"")
    assert await usage("shop") == await counted("shop") == (2, 1000)


async def test_a_hundred_callers_at_once_get_exactly_what_is_left(shop, rival):
    await in_public(limit, "shop", records=50)
    calls = [shop.write(f"k{number}") for number in range(100)] + [rival.write(f"k{number}") for number in range(100)]
    results = await outcomes(calls)
    assert results[:100].count("ok") == 50
    assert results[:100].count("RESOURCE_EXHAUSTED") == 50
    assert results[100:] == ["ok"] * 100, "a neighbour in the same batch must not suffer"
    assert await usage("shop") == await counted("shop")
    assert (await usage("shop"))[0] == 50


async def test_of_a_batch_the_small_writes_pass_where_the_large_ones_do_not(shop):
    await in_public(limit, "shop", record_bytes=100)
    results = await outcomes(shop.write(f"{number:02}", b"x" * (200 if number % 2 else 8)) for number in range(20))
    assert results == ["ok", "RESOURCE_EXHAUSTED"] * 10
    assert await usage("shop") == (10, 100)


async def test_two_servers_share_one_limit(shop):
    """Each loop has connections of its own, as each sidecar process has."""
    await in_public(limit, "shop", records=50)

    def elsewhere() -> int:
        async def write_many() -> int:
            place = [operations.Place("shop", "micro", f"other{number}") for number in range(100)]
            changes = (operations.write(operations.Write(where, b"v")) for where in place)
            results = await asyncio.gather(*changes, return_exceptions=True)
            await database.close()
            return sum(isinstance(result, int) for result in results)

        return asyncio.run(write_many())

    there, here = await asyncio.gather(
        asyncio.to_thread(elsewhere), outcomes(shop.write(f"here{number}") for number in range(100))
    )
    assert there + here.count("ok") == 50
    assert await usage("shop") == await counted("shop")


async def test_expired_records_take_no_room(shop):
    await in_public(limit, "shop", records=2)
    await shop.write("a", expiry=1)
    await shop.write("b", expiry=1)
    async with refused(EXHAUSTED):
        await shop.write("c")
    await asyncio.sleep(1.05)
    await shop.write("c")
    assert await usage("shop") == await counted("shop") == (1, 2)


async def test_what_has_expired_is_removed_and_booked(shop, rival):
    for number in range(5):
        await shop.write(f"k{number}", expiry=1)
        await rival.write(f"k{number}", expiry=1)
    await shop.write("stays", expiry=100)
    assert await in_public(operations.remove_expired) == 0
    await asyncio.sleep(1.05)
    removed = [await in_public(operations.remove_expired, at_most=4) for _ in range(4)]
    assert removed == [4, 4, 2, 0]
    assert await sql("SELECT count(*) FROM store_record") == [(1,)]
    assert await usage("shop") == await counted("shop") == (1, len("staysv"))
    assert await usage("rival") == (0, 0)


@pytest.mark.parametrize("deleting", [False, True])
async def test_books_agree_after_everything_at_once(shop, deleting):
    def call(number: int):
        key = f"k{number % 40}"
        return shop.delete(key) if deleting and number % 3 == 0 else shop.write(key, b"x" * number)

    calls = [call(number) for number in range(300)]
    assert set(await outcomes(calls)) == {"ok"}
    assert await usage("shop") == await counted("shop")
