from __future__ import annotations

import asyncio
import itertools

import grpc
import pytest

from micro.events import RETRIES
from micro.proto import events_pb2 as pb
from primitives.events.deliveries import delay_after

from .conftest import SECOND

pytestmark = pytest.mark.django_db


async def test_each_group_gets_every_event_and_one_of_its_members_each(events):
    billing = [await events.consume(group="billing") for _ in range(2)]
    shipping = await events.consume(group="shipping")
    expected = [str(number).encode() for number in range(40)]
    await events.publish_all(expected)
    got: list[bytes] = []

    async def drain(consumer):
        while True:
            got.append((await consumer.next(30)).payload)

    members = [asyncio.create_task(drain(consumer)) for consumer in billing]
    assert await shipping.payloads(40) == expected
    async with asyncio.timeout(5):
        while len(got) < 40:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    assert sorted(got) == sorted(expected)
    for member in members:
        member.cancel()


async def test_a_group_keeps_its_backlog_while_nobody_consumes(events):
    first = await events.consume(group="billing")
    first.leave()
    await asyncio.sleep(0.2)
    expected = [str(number).encode() for number in range(10)]
    await events.publish_all(expected)
    again = await events.consume(group="billing")
    assert await again.payloads(10) == expected


async def test_a_new_group_begins_with_what_comes_unless_told_otherwise(events):
    await events.publish_all([b"0", b"1", b"2"])
    new = await events.consume(group="new")
    from_start = await events.consume(group="from start", after=0)
    await events.publish(payload=b"3")
    assert await new.payloads(1) == [b"3"]
    assert await from_start.payloads(4) == [b"0", b"1", b"2", b"3"]


async def test_the_place_of_a_group_is_not_moved_by_a_later_start(events):
    first = await events.consume(group="g", after=0)
    await events.publish_all([b"0", b"1"])
    assert await first.payloads(2) == [b"0", b"1"]
    await asyncio.sleep(0.1)
    first.leave()
    again = await events.consume(group="g", after=0)
    await events.publish(payload=b"2")
    assert await again.payloads(1) == [b"2"]


async def test_groups_and_topics_with_any_names_are_told_apart(events):
    names = ["a b", "*", ">", "a.b", "ü" * 100, "x", "X"]
    pairs = list(itertools.product(names, names))
    consumers = {pair: await events.consume(pair[0], group=pair[1], settle=False) for pair in pairs}
    while len(await events.groups()) < len(consumers):
        await asyncio.sleep(0.05)
    for topic in names:
        await events.publish(topic, topic.encode())
    for (topic, _), consumer in consumers.items():
        assert (await consumer.next()).payload == topic.encode()
    assert {(group.topic, group.name) for group in await events.groups()} == set(consumers)
    assert {group.name for group in await events.groups(topic="*")} == set(names)


async def test_what_is_not_acknowledged_comes_again_after_the_ack_wait(events):
    consumer = await events.consume(group="g", ack_wait=SECOND // 2, retry_limit=-1)
    await events.publish(payload=b"x")
    started = asyncio.get_running_loop().time()
    first, second = await consumer.next(), await consumer.next()
    assert 0.4 < asyncio.get_running_loop().time() - started < 3
    assert (first.id, first.attempt, second.attempt) == (second.id, 1, 2)
    await consumer.ack(second)
    assert await consumer.is_silent(1)


async def test_an_acknowledged_event_never_comes_again(events):
    consumer = await events.consume(group="g", ack_wait=3 * SECOND, retry_limit=-1)
    expected = [str(number).encode() for number in range(200)]
    await events.publish_all(expected)
    got = []
    for _ in range(200):
        event = await consumer.next()
        got.append(event.payload)
        await consumer.ack(event)
    assert got == expected
    assert await consumer.is_silent(3.6)
    assert [(group.waiting, group.unacknowledged) for group in await events.groups()] == [(0, 0)]


async def test_a_refused_event_comes_again_soon_and_later_each_time(events):
    consumer = await events.consume(group="g", ack_wait=30 * SECOND, retry_limit=-1)
    await events.publish()
    loop, times = asyncio.get_running_loop(), []
    for _ in range(4):
        event = await consumer.next()
        times.append(loop.time())
        await consumer.ack(event, success=False)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert [round(pause) for pause in pauses] == [1, 2, 4]


def test_by_default_a_refused_event_is_tried_for_more_than_twenty_minutes():
    pauses = [delay_after(attempt) for attempt in range(1, RETRIES + 1)]
    assert pauses[0] == 1
    assert pauses[-1] == max(pauses) == 300
    assert 20 * 60 < sum(pauses) < 30 * 60


async def test_a_refused_event_comes_when_the_consumer_says(events):
    consumer = await events.consume(group="g", ack_wait=30 * SECOND, retry_limit=-1)
    await events.publish()
    loop = asyncio.get_running_loop()
    await consumer.ack(await consumer.next(), success=False, delay_s=0.8)
    refused = loop.time()
    await consumer.next()
    assert 0.7 < loop.time() - refused < 2


async def test_what_a_consumer_leaves_behind_goes_to_another_at_once(events):
    leaver = await events.consume(group="g", ack_wait=60 * SECOND, retry_limit=-1)
    await events.publish(payload=b"x")
    assert (await leaver.next()).payload == b"x"
    stayer = await events.consume(group="g", ack_wait=60 * SECOND, retry_limit=-1)
    leaver.leave()
    event = await stayer.next(3)
    assert (event.payload, event.attempt) == (b"x", 2)


async def test_an_event_that_kills_its_consumers_takes_no_others_along(events):
    """The poison comes with neighbours; they must not be charged an attempt for each time it kills."""
    (await events.consume(group="g", ack_wait=60 * SECOND, retry_limit=3)).leave()
    await events.publish_all([b"fine"] * 5 + [b"poison"] + [b"fine"] * 20)
    handled = set()
    for _ in range(12):
        consumer = await events.consume(group="g", ack_wait=60 * SECOND, retry_limit=3, settle=False)
        try:
            while (event := await consumer.next(1.5)).payload != b"poison":
                await consumer.ack(event)
                handled.add(event.id)
        except TimeoutError:
            break
        consumer.leave()
        await asyncio.sleep(0.1)
    letters = await events.dead()
    assert [letter.event.payload for letter in letters] == [b"poison"]
    assert len(handled) == 25


async def test_a_consumer_without_a_group_may_acknowledge_too(events):
    consumer = await events.consume(ack_wait=SECOND // 2, retry_limit=1)
    await events.publish(payload=b"x")
    attempts = [(await consumer.next()).attempt for _ in range(2)]
    assert attempts == [1, 2]
    assert await consumer.is_silent(1.2)
    assert await events.dead() == []
    assert await events.groups() == []


async def test_a_late_acknowledgement_still_counts(events):
    consumer = await events.consume(group="g", ack_wait=SECOND // 2, retry_limit=-1, prefetch=1)
    await events.publish(payload=b"x")
    event = await consumer.next()
    await asyncio.sleep(0.45)
    await consumer.ack(event)
    await events.publish(payload=b"y")
    assert (await consumer.next()).payload in {b"x", b"y"}


async def test_acknowledgements_of_unknown_events_mean_nothing(events):
    consumer = await events.consume(group="g", ack_wait=SECOND, retry_limit=-1)
    await events.publish(payload=b"x")
    event = await consumer.next()
    await consumer.ack(pb.Event(id="never seen"))
    await consumer.ack(pb.Event())
    await consumer.ack(event)
    await consumer.ack(event)
    await events.publish(payload=b"y")
    assert (await consumer.next()).payload == b"y"


async def test_a_malformed_acknowledgement_ends_the_stream_and_nothing_else(events):
    consumer = await events.consume(group="g", ack_wait=SECOND, retry_limit=-1)
    await consumer.send(b"\xff\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await consumer.next()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await events.publish()


async def test_a_deleted_group_is_gone_for_its_consumers_and_its_backlog_too(events):
    consumer = await events.consume(group="g")
    await events.delete_group("orders", "g")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await consumer.next()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events.delete_group("orders", "g")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert await events.groups() == []
