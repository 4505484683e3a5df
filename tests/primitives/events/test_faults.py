"""NATS killed, restarted, away and stuck. What was acknowledged is never lost."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

import grpc
import pytest

from .conftest import SECOND

pytestmark = pytest.mark.django_db

EVENTS = 20_000
PUBLISHERS = 64
PAUSE_S = 3.0  # between kills


async def code_of(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value.code()


async def persist(call, *args, **fields):
    """Try a call again for as long as the server says that it is away."""
    while True:
        try:
            return await call(*args, **fields)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)


async def test_every_write_is_synced_before_it_is_acknowledged(events, nats):
    await events.publish()
    assert nats.monitor("varz")["jetstream"]["config"]["sync_always"] is True


async def test_no_acknowledged_event_is_lost_while_nats_is_killed_every_few_seconds(events, nats, settings):
    """Twenty thousand events, all acknowledged to their publishers, reach a group and a follower."""
    settings.MICRO_EVENTS_PER_SECOND = 1_000_000
    assert nats.monitor("varz")["jetstream"]["config"]["sync_always"] is True
    acknowledged: set[bytes] = set()
    numbers = iter(range(EVENTS))
    kills = 0

    async def publish():
        for number in numbers:
            payload = str(number).encode()
            await persist(events.publish, payload=payload, id=f"event {number}")
            acknowledged.add(payload)

    async def kill():
        nonlocal kills
        while len(acknowledged) < EVENTS:
            await asyncio.sleep(PAUSE_S)
            nats.kill()
            kills += 1
            nats.start()

    consumed, followed = Counter(), Counter()
    tasks = [
        asyncio.create_task(consume_group(events, consumed)),
        asyncio.create_task(follow(events, followed)),
    ]
    await asyncio.sleep(0.5)
    killer = asyncio.create_task(kill())
    async with asyncio.timeout(240):
        await asyncio.gather(*(publish() for _ in range(PUBLISHERS)))
        await killer
    async with asyncio.timeout(60):
        while len(consumed) < EVENTS or len(followed) < EVENTS:
            await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    assert kills >= 2
    assert acknowledged == set(consumed) == set(followed)
    assert max(followed.values()) == 1
    print(f"{kills} kills, {sum(consumed.values()) - EVENTS} events came to the group again")  # noqa: T201


async def consume_group(events, seen):
    """A member of a group that acknowledges, and comes back whenever its stream ends."""
    while True:
        consumer = await events.consume(
            group="billing", after=0, ack_wait=2 * SECOND, retry_limit=-1, prefetch=256, settle=False
        )
        try:
            while True:
                event = await consumer.next(120)
                seen[event.payload] += 1
                await consumer.ack(event)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)


async def follow(events, seen):
    """A consumer without a group that knows how far it has come."""
    position = 0
    while True:
        consumer = await events.consume(after=position, settle=False)
        try:
            while True:
                event = await consumer.next(120)
                seen[event.payload] += 1
                position = event.sequence
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)


async def test_a_short_absence_of_nats_ends_no_stream_and_loses_nothing(events, nats):
    nameless, member = await events.consume(), await events.consume(group="g")
    acking = await events.consume(group="acks", ack_wait=30 * SECOND, retry_limit=-1)
    await events.publish(payload=b"before")
    nats.kill()
    nats.start()
    await persist(events.publish, payload=b"after", id="1")
    assert await nameless.payloads(2) == [b"before", b"after"]
    while (await member.next()).payload != b"after":
        pass  # an acknowledgement that NATS had not on disk when it died
    while (event := await acking.next()).payload != b"after":
        await acking.ack(event)


async def test_callers_and_streams_hear_within_two_seconds_that_nats_is_away(events, nats):
    consumers = [await events.consume(), await events.consume(group="g"), await events.consume(ack_wait=SECOND)]
    await events.publish()
    for consumer in consumers:
        await consumer.next()
    nats.kill()
    started = time.monotonic()
    calls = [events.publish(), events.read(), events.groups(), *(consumer.next() for consumer in consumers)]
    codes = await asyncio.gather(*(code_of(call) for call in calls))
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
    assert time.monotonic() - started < 2
    nats.start()
    await persist(events.publish)


async def test_a_nats_that_hangs_is_a_nats_that_is_away(events, nats):
    await events.publish()
    nats.signal(signal.SIGSTOP)
    started = time.monotonic()
    assert await code_of(events.publish()) is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - started < 3
    nats.signal(signal.SIGCONT)
    await persist(events.publish)


async def test_what_a_restarted_nats_has_lost_is_made_again(events, nats, tmp_path_factory):
    """Somebody has replaced the disk: streams and groups are made anew, and publishing goes on."""
    await events.publish()
    nats.kill()
    nats.forget()
    nats.start()
    stored = await persist(events.publish, payload=b"new")
    assert stored.sequence == 1
    assert [event.payload for event in (await events.read()).events] == [b"new"]


async def test_a_consumer_whose_connection_is_cut_hurts_nobody(events, sidecar):
    for _ in range(50):
        consumer = await events.consume(group="g", ack_wait=30 * SECOND, retry_limit=-1, settle=False)
        consumer.leave()
    nameless = [await events.consume(settle=False) for _ in range(50)]
    for consumer in nameless:
        consumer.leave()
    stayer = await events.consume(group="g", ack_wait=30 * SECOND, retry_limit=-1)
    await events.publish(payload=b"x")
    event = await stayer.next()
    assert (event.payload, event.attempt) == (b"x", 1)
