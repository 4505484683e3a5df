from __future__ import annotations

import asyncio
import json
import time

from micro.proto import config_pb2
from primitives.config import operations
from tests.primitives.store.conftest import sql


async def following(stream, count: int, seconds: float = 5) -> list[config_pb2.WatchResponse]:
    """The next so many messages."""
    async with asyncio.timeout(seconds):
        return [await anext(stream) for _ in range(count)]


async def test_a_watcher_sees_the_value_as_it_is_and_then_every_change_in_order(shop):
    await shop.set("n", 0)
    stream = shop.watch("n")
    (first,) = await following(stream, 1)
    assert (first.value.data, first.revision, first.HasField("change")) == ("0", 1, False)
    for number in range(1, 51):
        await shop.set("n", number)
    messages = await following(stream, 50)
    assert [json.loads(message.value.data) for message in messages] == list(range(1, 51))
    assert [message.revision for message in messages] == list(range(2, 52))
    assert messages[0].change.by == "joe"
    assert messages[0].change.changes[0].before == "0"


async def test_a_change_is_seen_within_a_second(shop):
    stream = shop.watch("n")
    await following(stream, 1)
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await shop.set("n", 1)
    await following(stream, 1)
    assert time.monotonic() - began < 1


async def test_who_watches_before_anything_was_set_sees_the_first_value(shop):
    stream = shop.watch("a.b")
    (nothing,) = await following(stream, 1)
    assert (nothing.value.data, nothing.revision) == ("null", 0)
    await shop.set("a", {"b": 1})
    (message,) = await following(stream, 1)
    assert (message.value.data, message.revision) == ("1", 1)


async def test_only_what_can_be_seen_from_the_path_is_told(shop, rival):
    await shop.set("a", {"b": 1, "bc": 1})
    stream = shop.watch("a.b")
    await following(stream, 1)
    await shop.set("a.bc", 2)
    await rival.set("a.b", "theirs")
    await shop.set("other", 3)
    await shop.set("a.b", {"deep": 4})
    await shop.delete("a")
    messages = await following(stream, 2)
    assert [message.value.data for message in messages] == ['{"deep":4}', "null"]
    assert [message.change.action for message in messages] == ["set", "delete"]


async def test_a_watcher_goes_on_where_it_was_without_a_gap(shop):
    for number in range(1, 6):
        await shop.set("n", number)
    messages = await following(shop.watch("n", after_revision=2), 3)
    assert [message.value.data for message in messages] == ["3", "4", "5"]


async def test_who_was_away_for_too_long_gets_the_value_as_it_is(shop, monkeypatch):
    monkeypatch.setattr(operations, "KEPT_REVISIONS", 3)
    for number in range(1, 11):
        await shop.set("n", number)
    stream = shop.watch("n", after_revision=2)
    (message,) = await following(stream, 1)
    assert (message.value.data, message.revision, message.HasField("change")) == ("10", 10, False)
    await shop.set("n", 11)
    assert (await following(stream, 1))[0].value.data == "11"


async def test_secrets_are_told_only_to_those_who_ask(shop):
    await shop.set("s", "one", secret=True)
    masked, open_ = shop.watch("s"), shop.watch("s", options={"secret": True})
    assert (await following(masked, 1))[0].value.data == '"[secret]"'
    assert (await following(open_, 1))[0].value.data == '"one"'
    await shop.set("s", "two", secret=True)
    assert (await following(masked, 1))[0].value.data == '"[secret]"'
    (message,) = await following(open_, 1)
    assert message.value.data == '"two"'
    assert message.change.changes[0].after == '"[secret]"'


async def test_watchers_hear_again_after_their_connection_was_cut(shop):
    stream = shop.watch("n")
    await following(stream, 1)
    await asyncio.sleep(0.2)
    await sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'")
    await shop.set("n", 1)
    assert (await following(stream, 1))[0].value.data == "1"


async def test_a_watcher_that_leaves_is_forgotten(shop):
    from primitives.config.watching import bells

    streams = [shop.watch(f"k{number}") for number in range(20)]
    for stream in streams:
        await following(stream, 1)
    assert len(bells.get()._bells["shop"]) == 20
    for stream in streams:
        await stream.aclose()
    async with asyncio.timeout(2):
        while bells.get()._bells:
            await asyncio.sleep(0.02)
    assert bells.get()._listener is None
