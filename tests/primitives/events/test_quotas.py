from __future__ import annotations

import asyncio

import grpc
import pytest

pytestmark = pytest.mark.django_db

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def refusals(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]


async def first_words(consumers, for_s=1.5):
    """What each consumer's stream says within a time: an event, a refusal, or nothing."""
    return await asyncio.gather(*(consumer.next(for_s) for consumer in consumers), return_exceptions=True)


async def test_a_hundred_callers_at_once_make_no_more_groups_than_allowed(events, settings):
    settings.MICRO_EVENTS_GROUPS = 10
    consumers = [await events.consume(group=f"group {number}", settle=False) for number in range(100)]
    refused = refusals(await first_words(consumers, 5))
    assert {error.code() for error in refused} == {EXHAUSTED}
    assert "may have 10 groups; delete one" in refused[0].details()
    assert len(refused) == 90
    groups = await events.groups()
    assert len(groups) == 10
    await events.delete_group("orders", groups[0].name)
    again = await events.consume(group="one more")
    await events.publish(payload=b"x")
    assert await again.payloads(1) == [b"x"]


async def test_a_group_that_exists_may_be_joined_at_the_limit(events, settings):
    await events.consume(group="g")
    settings.MICRO_EVENTS_GROUPS = 1
    member = await events.consume(group="g")
    await events.publish(payload=b"x")
    refused = refusals(await first_words([await events.consume(group="another")]))
    assert [error.code() for error in refused] == [EXHAUSTED]
    member.leave()


async def test_a_hundred_callers_at_once_open_no_more_consumers_than_allowed(events, settings):
    settings.MICRO_EVENTS_CONSUMERS = 10
    consumers = [await events.consume(settle=False) for _ in range(100)]
    refused = refusals(await first_words(consumers))
    assert len(refused) == 90
    assert {error.code() for error in refused} == {EXHAUSTED}
    assert "end one first" in refused[0].details()


async def test_consumers_that_left_do_not_count(events, settings):
    settings.MICRO_EVENTS_CONSUMERS = 1
    for _ in range(5):
        consumer = await events.consume()
        consumer.leave()
        await asyncio.sleep(0.1)
    stayer = await events.consume()
    await events.publish(payload=b"x")
    assert await stayer.payloads(1) == [b"x"]


async def test_a_hundred_callers_at_once_publish_no_faster_than_allowed(events, settings):
    settings.MICRO_EVENTS_PER_SECOND = 10
    outcomes = await asyncio.gather(*(events.publish() for _ in range(100)), return_exceptions=True)
    refused = refusals(outcomes)
    assert 60 <= len(refused) <= 80
    assert {(error.code(), "try again in" in error.details()) for error in refused} == {(EXHAUSTED, True)}
    await asyncio.sleep(0.3)
    await events.publish()


async def test_one_namespace_s_haste_does_not_slow_another(events, settings):
    settings.MICRO_EVENTS_PER_SECOND = 10
    await asyncio.gather(*(events.publish() for _ in range(50)), return_exceptions=True)
    await events.of("eve@rival").publish()


async def test_events_beyond_the_size_make_the_oldest_go(events, settings):
    settings.MICRO_EVENTS_BYTES = 100_000
    for number in range(40):
        await events.publish(payload=bytes([number]) * 10_000)
    kept = [event.payload[0] for event in (await events.read()).events]
    assert 5 <= len(kept) <= 10
    assert kept == list(range(40))[-len(kept) :]


async def test_a_changed_plan_changes_what_is_kept(events, settings, nats):
    await events.publish()
    settings.MICRO_EVENTS_BYTES = 123_456
    await events.publish()
    (account,) = nats.monitor("jsz?streams=1&config=1")["account_details"]
    (stream,) = account["stream_detail"]
    assert stream["config"]["max_bytes"] == 123_456
    assert stream["state"]["messages"] == 2
