from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from micro.errors import Error, NotFound, Unavailable
from transport import database
from transport.batches import MOST_ITEMS, Batcher
from transport.database import Connection

pytestmark = pytest.mark.django_db(transaction=True)


class Doubling:
    """Work that doubles numbers in the database and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def __call__(self, lane: Connection, items: Sequence[int]) -> list[int | Error]:
        self.batches.append(list(items))
        if 13 in items:
            raise ValueError("unlucky")
        rows = await (await lane.execute("SELECT n * 2 FROM unnest(%s::int8[]) AS n", [list(items)])).fetchall()
        return [NotFound(f"{item}") if item < 0 else double for item, (double,) in zip(items, rows, strict=True)]


@pytest.fixture
async def doubling():
    yield Doubling()
    await database.close()


async def test_each_caller_gets_its_own_outcome_and_many_share_a_batch(doubling):
    double = Batcher(doubling, lane_of=lambda _item: "one")
    numbers = [*range(200), -1, *range(200, 400)]
    outcomes = await asyncio.gather(*map(double, [n for n in numbers if n != 13]), return_exceptions=True)
    expected = [2 * n if n >= 0 else None for n in numbers if n != 13]
    assert [outcome if isinstance(outcome, int) else None for outcome in outcomes] == expected
    assert isinstance(outcomes[199], NotFound)
    assert len(doubling.batches) <= 8
    assert max(map(len, doubling.batches)) <= MOST_ITEMS


async def test_a_lane_keeps_the_order_in_which_items_came(doubling):
    double = Batcher(doubling, lane_of=lambda _item: "one")
    await asyncio.gather(*map(double, range(100, 600)))
    assert [item for batch in doubling.batches for item in batch] == list(range(100, 600))


async def test_one_items_fault_is_not_anothers(doubling):
    double = Batcher(doubling, lane_of=lambda _item: "one")
    outcomes = await asyncio.gather(*map(double, range(10, 20)), return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [20, 22, 24, 28, 30, 32, 34, 36, 38]
    assert isinstance(outcomes[3], ValueError)


async def test_a_caller_that_leaves_takes_nobody_with_it(doubling):
    double = Batcher(doubling, lane_of=lambda _item: "one")
    calls = [asyncio.ensure_future(double(n)) for n in range(100, 110)]
    await asyncio.sleep(0)
    calls[0].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[1:] == [2 * n for n in range(101, 110)]
    assert await double(1) == 2


async def test_heavy_items_are_not_all_held_at_once(doubling):
    double = Batcher(doubling, lane_of=lambda _item: "one", weigh=lambda _item: 5 * 1024 * 1024)
    await asyncio.gather(*map(double, range(100, 110)))
    assert max(map(len, doubling.batches)) == 3


async def test_a_connection_that_was_cut_while_idle_is_replaced_unseen(doubling):
    double = Batcher(doubling, lane_of=lambda _item: "one")
    await double(1)
    idle = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%unnest%'"
    async with database.connection() as other, asyncio.timeout(10):
        await other.execute(f"SELECT pg_terminate_backend(pid) {idle}")
        while await (await other.execute(f"SELECT 1 {idle}")).fetchone():
            await asyncio.sleep(0.01)
    assert await double(2) == 4


async def test_without_a_database_callers_hear_that_it_is_away(doubling, monkeypatch):
    monkeypatch.setattr(database, "conninfo", lambda _options="": "host=/nowhere connect_timeout=2")
    with pytest.raises(Unavailable, match="database is away"):
        await Batcher(doubling, lane_of=lambda _item: "one")(1)
