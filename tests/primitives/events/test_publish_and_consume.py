from __future__ import annotations

import asyncio

import grpc
import pytest

from micro.proto import events_pb2 as pb

pytestmark = pytest.mark.django_db

HARD_TOPICS = [
    "a b", "a.b", "*", ">", "a.*", "%2E", "Grüße 🌍", "x" * 1024, "é" * 512, "a/b", "a/bc", "=", "\r\n", "\t", "A", "a",
    "$JS.API.INFO", "$SYS.>", "_INBOX.x", "orders.group", "..", "\u202e",
]  # fmt: skip


async def test_an_event_reaches_whoever_consumes_its_topic(events):
    consumer = await events.consume()
    published = await events.publish("orders", b"\x00\xff", metadata={"Röd": "gröt"}, timestamp=1234)
    event = await consumer.next()
    assert (event.topic, event.payload, dict(event.metadata), event.timestamp) == (
        "orders", b"\x00\xff", {"Röd": "gröt"}, 1234,
    )  # fmt: skip
    assert (event.id, event.sequence) == (published.id, published.sequence)


async def test_every_consumer_without_a_group_gets_every_event_in_order(events):
    consumers = [await events.consume() for _ in range(3)]
    expected = [str(number).encode() for number in range(20)]
    await events.publish_all(expected)
    assert [await consumer.payloads(20) for consumer in consumers] == [expected] * 3


async def test_a_consumer_without_a_group_hears_only_of_what_comes_after_it(events):
    await events.publish(payload=b"before")
    consumer = await events.consume()
    await events.publish(payload=b"after")
    assert await consumer.payloads(1) == [b"after"]


async def test_topics_with_any_characters_are_told_apart(events):
    consumers = [await events.consume(topic, settle=False) for topic in HARD_TOPICS]
    await asyncio.sleep(0.5)
    for topic in HARD_TOPICS:
        await events.publish(topic, topic.encode())
    for topic, consumer in zip(HARD_TOPICS, consumers, strict=True):
        assert (await consumer.next()).payload == topic.encode()
        assert [event.topic for event in (await events.read(topic)).events] == [topic]
        assert await consumer.is_silent(0.02)


async def test_a_replay_begins_at_a_time_and_goes_on_with_what_comes(events):
    await events.publish(payload=b"long ago")
    await asyncio.sleep(1.1)
    begin = (await events.publish(payload=b"then")).sequence
    stored = await events.read(after=begin - 1)
    consumer = await events.consume(offset=stored.events[0].timestamp)
    await events.publish(payload=b"now")
    assert await consumer.payloads(2) == [b"then", b"now"]


async def test_a_replay_after_a_sequence_has_neither_gaps_nor_repetitions(events):
    expected = [str(number).encode() for number in range(600)]
    await events.publish_all(expected[:500])
    consumer = await events.consume(after=0, settle=False)
    await events.publish_all(expected[500:])
    assert await consumer.payloads(600) == expected
    assert await consumer.is_silent()


async def test_a_consumer_that_reads_slowly_misses_nothing(events):
    slow = await events.consume()
    payload = b"x" * 20_000
    await asyncio.gather(*(events.publish(payload=payload + str(number).encode()) for number in range(600)))
    numbers = [int(payload[20_000:]) for payload in await slow.payloads(600)]
    assert sorted(numbers) == list(range(600))


async def test_an_id_is_published_once_in_its_topic(events):
    first = await events.publish(id="order 7", payload=b"1")
    again = await events.publish(id="order 7", payload=b"2")
    other = await events.publish("returns", id="order 7", payload=b"3")
    assert (again.sequence, again.duplicate, first.duplicate) == (first.sequence, True, False)
    assert not other.duplicate
    assert [event.payload for event in (await events.read()).events] == [b"1"]


async def test_reading_goes_by_pages(events):
    await events.publish_all([str(number).encode() for number in range(30)])
    first = await events.read(limit=10)
    second = await events.read(limit=10, after=first.next)
    rest = await events.read(offset=20)
    numbers = [int(event.payload) for page in (first, second, rest) for event in page.events]
    assert numbers == list(range(30))
    assert (await events.read(after=rest.next)).events == []
    assert (await events.read("nothing here")).events == []


async def test_the_end_of_a_namespace_is_where_a_reader_goes_on(events):
    await events.publish()
    end = (await events.read("other", after=2**63 - 1)).next
    await events.publish("other", b"next")
    assert [event.payload for event in (await events.read("other", after=end)).events] == [b"next"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"topic": ""}, "Missing topic"),
        ({"topic": "é" * 513}, "topic"),
        ({"id": "x" * 257}, "id"),
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": 2**62}, "timestamp"),
    ],
)
async def test_a_publish_that_cannot_be_is_refused_by_field(events, fields, word):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events.publish(**fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert word in caught.value.details()


@pytest.mark.parametrize(("fields", "word"), [
    ({"payload": b"x" * (1024 * 1024)}, "payload"),
    ({"metadata": {"k": "x" * 70_000}}, "metadata"),
])  # fmt: skip
async def test_an_event_that_is_too_large_is_refused_by_field(events, fields, word):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events.publish(**fields)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert word in caught.value.details()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"topic": ""}, "Missing topic"),
        ({"auto_ack": False}, "invalid AckWait passed, should be positive integer"),
        ({"ack_wait": -5}, "invalid AckWait passed, should be positive integer"),
        ({"ack_wait": 2**62}, "ack_wait"),
        ({"ack_wait": 10**9, "retry_limit": -2}, "retry_limit"),
        ({"ack_wait": 10**9, "retry_limit": 2**60}, "retry_limit"),
        ({"ack_wait": 10**9, "prefetch": -1}, "prefetch"),
        ({"offset": -1}, "offset"),
        ({"offset": 2**60}, "offset"),
        ({"after": -1}, "after"),
        ({"group": "g" * 257}, "group"),
    ],
)
async def test_a_consume_that_cannot_be_is_refused_by_field(events, fields, word):
    consumer = await events.consume(settle=False, **fields)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await consumer.next()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert word in caught.value.details()


@pytest.mark.parametrize("fields", [{"limit": 10_001}, {"offset": 2**63}, {"after": -1}, {"since": -1}, {"topic": ""}])
async def test_a_read_that_cannot_be_is_refused(events, fields):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events.read(**fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_writing_into_the_store_is_unimplemented_with_the_reason(events, sidecar):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.call("/events.Store/Write", pb.WriteRequest(), pb.WriteResponse)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "Stream.Publish" in caught.value.details()
