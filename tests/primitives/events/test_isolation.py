"""A second tenant tries everything."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from micro.proto import events_pb2 as pb
from primitives.events.rpc import METHODS

from .conftest import SECOND

pytestmark = pytest.mark.django_db

DENIED, ABSENT = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND

# Every method with what reaches for another's things in its body.
REACHING = {
    "Stream.Publish": pb.PublishRequest(topic="orders", namespace="shop"),
    "Stream.Consume": pb.ConsumeRequest(topic="orders", namespace="shop", auto_ack=True),
    "Store.Read": pb.ReadRequest(topic="orders", namespace="shop"),
    "Groups.List": pb.ListGroupsRequest(namespace="shop"),
    "Groups.Delete": pb.DeleteGroupRequest(namespace="shop", topic="orders", name="billing"),
    "DeadLetters.Read": pb.ReadDeadLettersRequest(namespace="shop"),
    "DeadLetters.Redrive": pb.ChangeDeadLettersRequest(namespace="shop", topic="orders"),
    "DeadLetters.Delete": pb.ChangeDeadLettersRequest(namespace="shop", topic="orders"),
}


async def code_of(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value.code()


async def answer(sidecar, name, request, **caller):
    """The first answer of any method."""
    call = sidecar.stream(f"/events.{name.replace('.', '/')}", METHODS[name].response, **caller)
    await call.write(request)
    found = await asyncio.wait_for(call.read(), 5)
    if found is grpc.aio.EOF:
        raise AssertionError("no answer")
    return found


def test_every_method_has_its_row():
    assert set(REACHING) | {"Store.Write"} == set(METHODS)


@pytest.mark.parametrize("name", REACHING)
async def test_a_namespace_in_the_body_is_refused_whether_it_exists_or_not(events, sidecar, name):
    details = []
    for namespace in ("shop", "nowhere"):
        request = type(REACHING[name]).FromString(REACHING[name].SerializeToString())
        request.namespace = namespace
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answer(sidecar, name, request, token="eve@rival")
        assert caught.value.code() is DENIED
        details.append(caught.value.details())
    assert details[0] == details[1]


@pytest.mark.parametrize("name", [*REACHING, "Store.Write"])
async def test_without_an_account_there_is_nothing(sidecar, name):
    request = REACHING.get(name, pb.WriteRequest())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer(sidecar, name, request, token="")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_header_moves_nobody_into_another_namespace(events, sidecar):
    await events.publish(payload=b"secret")
    request = pb.ReadRequest(topic="orders")
    for name in ("micro_namespace", "x_micro_namespace"):
        found = await sidecar.call("/events.Store/Read", request, pb.ReadResponse, token="eve@rival", **{name: "shop"})
        assert list(found.events) == []


@pytest.mark.parametrize("topic", ["orders", "*", ">", "shop.orders", "../shop/orders", "events.shop.orders", "shop.>"])
async def test_no_topic_reaches_across(events, topic):
    rival = events.of("eve@rival")
    consumers = [
        await rival.consume(topic, settle=False),
        await rival.consume(topic, group="billing", after=0, settle=False),
        await rival.consume(topic, after=0, settle=False),
        await rival.consume(topic, ack_wait=SECOND, offset=1, settle=False),
    ]
    await asyncio.sleep(0.3)
    await events.publish("orders", b"secret")
    assert [await consumer.is_silent(0.1) for consumer in consumers] == [True] * 4
    assert (await rival.read(topic)).events == []


async def test_groups_of_the_same_name_have_nothing_in_common(events):
    rival = events.of("eve@rival")
    mine = await events.consume(group="billing")
    theirs = await rival.consume(group="billing")
    await events.publish(payload=b"mine")
    await rival.publish(payload=b"theirs")
    assert await mine.payloads(1) == [b"mine"]
    assert await theirs.payloads(1) == [b"theirs"]
    await rival.delete_group("orders", "billing")
    assert [group.name for group in await events.groups()] == ["billing"]
    assert await code_of(rival.delete_group("orders", "billing")) is ABSENT


async def test_ids_and_acknowledgements_of_others_change_nothing(events):
    rival = events.of("eve@rival")
    mine = await events.consume(group="billing", ack_wait=30 * SECOND, retry_limit=0)
    first = await events.publish(payload=b"x", id="known")
    assert not (await rival.publish(payload=b"y", id="known")).duplicate
    event = await mine.next()
    theirs = await rival.consume(group="billing", ack_wait=30 * SECOND, retry_limit=0)
    await theirs.ack(event)
    await theirs.ack(event, success=False)
    await rival._settle()
    assert [group.unacknowledged for group in await events.groups()] == [1]
    assert first.id == event.id


async def test_dead_letters_of_others_cannot_be_named(events):
    consumer = await events.consume(group="billing", ack_wait=30 * SECOND, retry_limit=0)
    await events.publish(payload=b"secret")
    await consumer.ack(await consumer.next(), success=False)
    while not (letters := await events.dead()):
        await asyncio.sleep(0.05)
    rival = events.of("eve@rival")
    ids = [letter.id for letter in letters]
    assert await rival.dead() == []
    for verb in ("Redrive", "Delete"):
        assert await rival.change_dead(verb, ids=ids) == 0
        assert await rival.change_dead(verb, topic="orders") == 0
    assert len(await events.dead()) == 1


async def test_an_admin_of_the_platform_acts_in_the_namespace_that_it_names(events):
    root = events.of("root@micro")
    await root.publish(payload=b"hello", namespace="shop")
    assert [event.payload for event in (await events.read()).events] == [b"hello"]
    assert await code_of(root.publish(namespace="nowhere")) is ABSENT
    assert await code_of(root.read(namespace="no such.*")) is ABSENT


async def test_somebody_of_the_platform_who_is_no_admin_stays_outside(events):
    assert await code_of(events.of("guest@micro").publish(namespace="shop")) is DENIED
