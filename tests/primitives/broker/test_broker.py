from __future__ import annotations

import asyncio

import grpc
import pytest

from micro.proto import broker_pb2 as pb
from primitives.broker import rpc

HARD_TOPICS = ["a b", "a.b", "*", ">", "a.*", "Grüße 🌍", "x" * 1024, "a/b", "a/bc", "\r\nPUB", "$SYS.>", "A", "a"]

JOE = "joe@shop"


class Broker:
    def __init__(self, sidecar, token=JOE):
        self.sidecar, self.token = sidecar, token

    async def publish(self, topic="news", body=b"", header=None, metadata=None, **fields):
        message = pb.Message(header=header or {}, body=body)
        request = pb.PublishRequest(topic=topic, message=message, **fields)
        await self.sidecar.call("/broker.Broker/Publish", request, pb.Empty, token=self.token, **(metadata or {}))

    async def subscribe(self, topic="news", queue="", settle_s=0.3, **fields):
        call = self.sidecar.stream("/broker.Broker/Subscribe", pb.Message, token=self.token)
        await call.write(pb.SubscribeRequest(topic=topic, queue=queue, **fields))
        await asyncio.sleep(settle_s)
        return call


async def bodies(call, count, within_s=5.0):
    async with asyncio.timeout(within_s):
        return [(await call.read()).body for _ in range(count)]


async def is_silent(call, for_s=0.3):
    try:
        await asyncio.wait_for(call.read(), for_s)
    except TimeoutError:
        return True
    return False


async def code_of(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value.code(), caught.value.details()


@pytest.fixture
def broker(sidecar):
    return Broker(sidecar)


async def test_every_subscriber_gets_every_message(broker):
    calls = [await broker.subscribe() for _ in range(3)]
    for number in range(10):
        await broker.publish(body=str(number).encode(), header={"Käse": "ja"})
    assert [await bodies(call, 10) for call in calls] == [[str(number).encode() for number in range(10)]] * 3


async def test_one_member_of_a_queue_gets_each_message(broker):
    members = [await broker.subscribe(queue="a b.*") for _ in range(2)]
    alone = await broker.subscribe(queue="another")
    for number in range(40):
        await broker.publish(body=str(number).encode())
    expected = [str(number).encode() for number in range(40)]
    assert await bodies(alone, 40) == expected
    got: list[bytes] = []

    async def drain(call):
        while True:
            got.append((await call.read()).body)

    tasks = [asyncio.create_task(drain(call)) for call in members]
    await asyncio.sleep(0.5)
    assert sorted(got) == sorted(expected)
    for task in tasks:
        task.cancel()


async def test_topics_with_any_characters_are_told_apart(broker):
    calls = [await broker.subscribe(topic, settle_s=0) for topic in HARD_TOPICS]
    await asyncio.sleep(0.5)
    for topic in HARD_TOPICS:
        await broker.publish(topic, topic.encode())
    for topic, call in zip(HARD_TOPICS, calls, strict=True):
        assert await bodies(call, 1) == [topic.encode()]
        assert await is_silent(call, 0.02)


async def test_a_request_s_metadata_joins_the_header_and_never_wins(broker):
    call = await broker.subscribe()
    await broker.publish(header={"Color": "red"}, metadata={"color": "blue", "micro_from_service": "till"})
    message = await asyncio.wait_for(call.read(), 5)
    assert message.header["Color"] == "red"
    assert message.header["Micro-From-Service"] == "till"
    assert not [
        name for name in message.header if name.lower() in {"authorization", "user-agent", "content-type", "te"}
    ]


async def test_nothing_crosses_between_namespaces(broker, sidecar):
    rival = Broker(sidecar, "eve@rival")
    calls = [await rival.subscribe(topic) for topic in ("news", "shop.news", "*", ">", "../shop/news")]
    calls.append(await rival.subscribe(queue="q"))
    await broker.publish(body=b"secret")
    for call in calls:
        assert await is_silent(call, 0.1)
    mine = await broker.subscribe()
    await rival.publish(body=b"spam")
    await rival.publish(body=b"spam", metadata={"micro_namespace": "shop"})
    assert await is_silent(mine)


async def test_another_s_namespace_is_refused_unless_the_account_crosses_namespaces(broker, sidecar):
    rival, root = Broker(sidecar, "eve@rival"), Broker(sidecar, "root@micro")
    code, _ = await code_of(rival.publish(namespace="shop"))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    code, _ = await code_of((await rival.subscribe(namespace="shop", settle_s=0)).read())
    assert code is grpc.StatusCode.PERMISSION_DENIED
    mine = await broker.subscribe()
    await root.publish(body=b"hello", namespace="shop")
    assert await bodies(mine, 1) == [b"hello"]


async def test_without_an_account_nothing_is_done(sidecar):
    nobody = Broker(sidecar, "")
    code, _ = await code_of(nobody.publish())
    assert code is grpc.StatusCode.UNAUTHENTICATED
    code, _ = await code_of((await nobody.subscribe(settle_s=0)).read())
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_what_cannot_be_is_refused_by_field(broker, sidecar):
    invalid, exhausted = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
    publish = sidecar.call("/broker.Broker/Publish", pb.PublishRequest(topic="news"), pb.Empty)
    code, text = await code_of(publish)
    assert (code, "Missing message" in text) == (invalid, True)
    for call, expected, word in [
        (broker.publish(""), invalid, "Missing topic"),
        (broker.publish("é" * 513), invalid, "topic"),
        (broker.publish(body=b"x" * 2**20), exhausted, "message"),
        ((await broker.subscribe("", settle_s=0)).read(), invalid, "Missing topic"),
        ((await broker.subscribe(queue="q" * 257, settle_s=0)).read(), invalid, "queue"),
    ]:
        code, text = await code_of(call)
        assert (code, word in text) == (expected, True)


async def test_a_namespace_has_so_many_subscribers_and_no_more(broker, settings):
    settings.MICRO_BROKER_SUBSCRIBERS = 10
    calls = [await broker.subscribe(settle_s=0) for _ in range(100)]
    await asyncio.sleep(0.5)
    outcomes = await asyncio.gather(*(asyncio.wait_for(call.read(), 0.5) for call in calls), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert len(refused) == 90
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}


async def test_a_namespace_publishes_so_many_messages_a_second_and_no_more(broker, settings):
    settings.MICRO_BROKER_PER_SECOND = 10
    outcomes = await asyncio.gather(*(broker.publish() for _ in range(100)), return_exceptions=True)
    assert 20 <= outcomes.count(None) <= 40
    refused = {(error.code(), "try again in" in error.details()) for error in outcomes if error is not None}
    assert refused == {(grpc.StatusCode.RESOURCE_EXHAUSTED, True)}


async def test_a_subscriber_that_does_not_read_is_cut_off_and_told(broker, monkeypatch):
    monkeypatch.setattr(rpc, "KEPT_FOR_ONE", 10)
    call = await broker.subscribe()
    await asyncio.gather(*(broker.publish(body=b"x" * 100_000) for _ in range(200)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bodies(call, 200)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_short_absence_of_nats_ends_no_subscription(broker, nats):
    call, member = await broker.subscribe(), await broker.subscribe(queue="q", settle_s=1.0)
    nats.kill()
    nats.start()
    while True:
        try:
            await broker.publish(body=b"again")
            break
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
    assert await bodies(call, 1) == [b"again"]
    assert await bodies(member, 1) == [b"again"]


async def test_callers_hear_within_two_seconds_that_nats_is_away(broker, nats):
    loop = asyncio.get_running_loop()
    call = await broker.subscribe()
    nats.kill()
    started = loop.time()
    codes = [(await code_of(broker.publish()))[0], (await code_of(call.read()))[0]]
    assert loop.time() - started < 2
    assert codes == [grpc.StatusCode.UNAVAILABLE] * 2


async def test_who_subscribes_while_nats_is_away_is_kept_waiting_for_a_second(broker, nats):
    """Micro's Go client comes back at once and for ever."""
    loop = asyncio.get_running_loop()
    await broker.publish()
    nats.kill()
    await code_of(broker.publish())
    started = loop.time()
    codes = [await code_of((await broker.subscribe(settle_s=0)).read()) for _ in range(2)]
    assert {code for code, _ in codes} == {grpc.StatusCode.UNAVAILABLE}
    assert 1.5 < loop.time() - started < 4
