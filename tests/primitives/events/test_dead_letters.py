from __future__ import annotations

import asyncio

import grpc
import pytest
from django.db import OperationalError

from primitives.events import operations

from .conftest import SECOND

pytestmark = pytest.mark.django_db


async def refuse_all(events, *, group="billing", retries=1, settle=True, **fields):
    """A consumer that refuses everything, until it is left."""
    consumer = await events.consume(group=group, ack_wait=30 * SECOND, retry_limit=retries, settle=settle, **fields)

    async def refuse():
        while True:
            await consumer.ack(await consumer.next(60), success=False, delay_s=0.001)

    return asyncio.create_task(refuse()), consumer


async def until(condition, within_s=6.0):
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_what_is_refused_too_often_becomes_a_dead_letter_of_its_group_alone(events):
    other = await events.consume(group="shipping")
    task, _ = await refuse_all(events, retries=2)
    published = await events.publish("orders", b"bad", metadata={"k": "v"})
    await until(lambda: _is(events, 1))
    (letter,) = await events.dead()
    assert (letter.group, letter.attempts, letter.reason) == ("billing", 3, "The consumer refused it.")
    assert (letter.event.id, letter.event.payload, letter.event.topic) == (published.id, b"bad", "orders")
    assert dict(letter.event.metadata) == {"k": "v"}
    assert (await other.next()).payload == b"bad"
    task.cancel()


async def _is(events, count, **fields):
    return len(await events.dead(**fields)) == count


async def test_what_is_never_acknowledged_becomes_a_dead_letter(events):
    consumer = await events.consume(group="billing", ack_wait=SECOND // 4, retry_limit=1)
    await events.publish(payload=b"slow")
    assert [(await consumer.next()).attempt for _ in range(2)] == [1, 2]
    await until(lambda: _is(events, 1))
    (letter,) = await events.dead()
    assert (letter.attempts, letter.reason) == (2, "Not acknowledged within 0.25 s.")
    assert await consumer.is_silent()


async def test_without_a_retry_an_event_is_delivered_once(events):
    consumer = await events.consume(group="billing", ack_wait=SECOND // 4, retry_limit=0)
    await events.publish(payload=b"x")
    await consumer.next()
    await until(lambda: _is(events, 1))
    assert await consumer.is_silent()


async def test_a_redriven_letter_reaches_its_group_and_no_other(events):
    task, consumer = await refuse_all(events)
    await events.publish(payload=b"bad", id="the same")
    await until(lambda: _is(events, 1))
    task.cancel()
    consumer.leave()
    shipping, nameless = await events.consume(group="shipping"), await events.consume()
    billing = await events.consume(group="billing", ack_wait=30 * SECOND, retry_limit=1)
    assert await events.change_dead("Redrive", topic="orders") == 1
    event = await billing.next()
    assert (event.payload, event.attempt, event.id, event.topic) == (b"bad", 1, "the same", "orders")
    await billing.ack(event)
    assert await events.dead() == []
    assert await shipping.is_silent()
    assert await nameless.is_silent(0.1)
    assert len((await events.read()).events) == 1


async def test_a_redriven_letter_may_die_again(events):
    task, _ = await refuse_all(events)
    await events.publish(payload=b"bad")
    await until(lambda: _is(events, 1))
    (first,) = await events.dead()
    assert await events.change_dead("Redrive", ids=[first.id]) == 1
    await until(lambda: _is(events, 1))
    (second,) = await events.dead()
    assert second.id > first.id
    task.cancel()


async def test_letters_are_chosen_by_topic_group_and_id(events):
    tasks = []
    for topic in ("orders", "returns"):
        for group in ("billing", "shipping"):
            tasks.append((await refuse_all(events, topic=topic, group=group))[0])
        await events.publish(topic)
    await until(lambda: _is(events, 4))
    assert len(await events.dead(topic="orders")) == 2
    assert len(await events.dead(topic="orders", group="billing")) == 1
    page = await events.dead(limit=3)
    assert len(page) == 3
    assert len(await events.dead(after=page[-1].id)) == 1
    assert await events.change_dead("Delete", topic="orders", group="billing") == 1
    (returned,) = await events.dead(topic="returns", group="shipping")
    assert await events.change_dead("Delete", ids=[returned.id]) == 1
    assert await events.change_dead("Delete", ids=[returned.id]) == 0
    assert len(await events.dead()) == 2
    for task in tasks:
        task.cancel()


async def test_letters_of_a_deleted_group_are_kept_until_it_exists_again(events):
    task, consumer = await refuse_all(events)
    await events.publish(payload=b"bad")
    await until(lambda: _is(events, 1))
    task.cancel()
    consumer.leave()
    await events.delete_group("orders", "billing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events.change_dead("Redrive", topic="orders")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    again = await events.consume(group="billing")
    assert await events.change_dead("Redrive", topic="orders") == 1
    assert (await again.next()).payload == b"bad"


async def test_all_letters_at_once_must_be_meant(events):
    for verb in ("Redrive", "Delete"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await events.change_dead(verb)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_oldest_letters_make_room(events, settings):
    settings.MICRO_EVENTS_DEAD_LETTERS = 3
    task, _ = await refuse_all(events, retries=0)
    await events.publish_all([str(number).encode() for number in range(6)])

    async def last_is_there():
        return [letter.event.payload for letter in await events.dead()] == [b"3", b"4", b"5"]

    await until(last_is_there)
    task.cancel()


async def test_an_event_outlives_a_database_that_is_away_at_its_burial(events, monkeypatch):
    monkeypatch.setattr("primitives.events.deliveries.BURIAL_DELAY_S", 0.2)
    bury, failures = operations.bury, []

    async def failing(*args, **fields):
        if len(failures) < 2:
            failures.append(1)
            raise OperationalError("the database is away")
        await bury(*args, **fields)

    monkeypatch.setattr("primitives.events.deliveries.operations.bury", failing)
    task, _ = await refuse_all(events, retries=0)
    await events.publish(payload=b"bad")
    await until(lambda: _is(events, 1))
    assert failures == [1, 1]
    task.cancel()
