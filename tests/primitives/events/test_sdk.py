"""micro.events and micro.broker against a sidecar and a NATS that go away and come back."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from micro import broker, errors, events
from micro.client import Client
from primitives.broker import rpc as broker_rpc
from primitives.events import rpc as events_rpc
from tests.primitives.conftest import identify
from tests.primitives.serving import Sidecar

pytestmark = pytest.mark.django_db


@dataclass
class Line:
    article: str
    count: int = 1


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)
    note: str | None = None


class Known:
    """An identity that needs no auth service."""

    def __init__(self, token: str) -> None:
        self.token = token

    def access_token(self, _client: Client) -> str:
        return self.token


@pytest.fixture
def server(nats, namespaces):
    tables = {"events": events_rpc.METHODS, "broker": broker_rpc.METHODS}
    with Sidecar(tables, identify).running() as sidecar:
        yield sidecar


@pytest.fixture
def client(server):
    made = Client(server.address, namespace="shop")
    made._identity = Known("joe@shop")
    yield made
    made.close()


def take(consumer, count):
    return [next(consumer) for _ in range(count)]


def until(condition, within_s=20.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def in_thread(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_what_is_published_is_consumed_in_the_shape_that_it_was_given(client):
    order = Order(7, [Line("nut", 3), Line("bolt")], note="soon")
    for payload in (b"\x00\xff", "Grüße", {"a": [1, None]}, order):
        events.publish("orders", payload, metadata={"k": "v"}, client=client)
    with events.consume("orders", group="billing", after=0, client=client) as consumer:
        raw, text, document, whole = take(consumer, 4)
    assert raw.into(bytes) == b"\x00\xff"
    assert text.into(str) == "Grüße"
    assert document.into(dict) == {"a": [1, None]}
    assert whole.into(Order) == order
    assert (whole.metadata, whole.attempt, whole.topic) == ({"k": "v"}, 1, "orders")
    with pytest.raises(errors.InvalidArgument):
        text.into(Order)


def test_an_event_is_done_when_the_loop_comes_round_and_not_before(client):
    for number in range(3):
        events.publish("orders", str(number), client=client)
    with events.consume("orders", group="billing", after=0, client=client) as consumer:
        assert [event.into(str) for event in take(consumer, 2)] == ["0", "1"]
    with events.consume("orders", group="billing", client=client) as consumer:
        again = next(consumer)
        assert (again.into(str), again.attempt) == ("1", 2)
        again.ack()
    with events.consume("orders", group="billing", client=client) as consumer:
        assert next(consumer).into(str) == "2"


def test_a_refused_event_comes_again_and_ends_as_a_dead_letter_that_can_be_redriven(client):
    events.publish("orders", "bad", client=client)
    attempts = []
    with events.consume("orders", group="billing", after=0, retries=2, client=client) as consumer:
        for event in consumer:
            attempts.append(event.attempt)
            event.nack(delay=timedelta(milliseconds=10))
            if len(attempts) == 3:
                break
    assert attempts == [1, 2, 3]
    until(lambda: events.dead("orders", client=client))
    letters = events.dead("orders", client=client)
    assert (letters[0].event.into(str), letters[0].attempts, letters[0].group) == ("bad", 3, "billing")
    assert events.redrive("orders", group="billing", client=client) == 1
    with events.consume("orders", group="billing", client=client) as consumer:
        event = next(consumer)
        assert (event.into(str), event.attempt) == ("bad", 1)
        event.ack()
    assert events.dead(client=client) == []


def test_groups_are_listed_and_deleted(client):
    with events.consume("orders", group="billing", after=0, client=client) as consumer:
        events.publish("orders", client=client)
        next(consumer)
        assert [(group.name, group.unacknowledged) for group in events.groups(client=client)] == [("billing", 1)]
    events.delete_group("orders", "billing", client=client)
    assert events.groups("orders", client=client) == []
    with pytest.raises(errors.NotFound):
        events.delete_group("orders", "billing", client=client)


def test_a_consumer_goes_on_after_its_server_went_away(client, server):
    seen = []
    done = threading.Event()

    consumer = events.consume("orders", group="billing", after=0, client=client)

    def consume():
        for event in consumer:
            seen.append(event.into(str))
            if seen[-1] == "after":
                done.set()

    thread = in_thread(consume)
    events.publish("orders", "before", client=client)
    until(lambda: seen)
    time.sleep(0.3)
    server.stop()
    time.sleep(0.5)
    server.start()
    began = time.monotonic()
    events.publish("orders", "after", client=client)
    assert done.wait(10)
    assert time.monotonic() - began < 10
    assert seen[0] == "before"
    consumer.close()
    thread.join(3)


def test_a_consumer_without_a_group_misses_nothing_while_its_server_is_away(client, server, nats):
    consumer = events.consume("orders", client=client)
    seen: list[str] = []
    thread = in_thread(lambda: seen.extend(event.into(str) for event in take(consumer, 3)))
    until(lambda: consumer._request.HasField("after"))  # it knows where "from now on" begins
    events.publish("orders", "1", client=client)
    until(lambda: events.read("orders", client=client))
    server.stop()
    other = Sidecar({"events": events_rpc.METHODS}, identify)
    with other.running():
        second = Client(other.address, namespace="shop")
        second._identity = Known("joe@shop")
        events.publish("orders", "2", client=second)
        second.close()
    server.start()
    events.publish("orders", "3", client=client)
    thread.join(10)
    assert sorted(seen) == ["1", "2", "3"]


def test_publishing_goes_on_while_nats_is_killed_and_nothing_is_there_twice(client, nats):
    for number in range(60):
        if number % 20 == 10:
            nats.kill()
            threading.Timer(0.7, nats.start).start()
        events.publish("orders", str(number), client=client)
    assert [event.into(str) for event in events.read("orders", client=client)] == [str(number) for number in range(60)]


def test_a_client_that_may_not_hears_it_at_once(server, client):
    client._identity = Known("")
    with pytest.raises(errors.Unauthenticated):
        next(events.consume("orders", group="g", client=client))
    with pytest.raises(errors.Unauthenticated):
        events.publish("orders", client=client)
    client._identity = Known("eve@rival")
    with pytest.raises(errors.PermissionDenied):
        events.publish("orders", client=client)


def test_another_thread_may_close_a_consumer(client):
    consumer = events.consume("orders", group="g", client=client)
    thread = in_thread(lambda: list(consumer))
    time.sleep(0.3)
    consumer.close()
    thread.join(3)
    assert not thread.is_alive()


async def test_there_is_a_twin_for_every_function(client):
    await events.apublish("orders", "1", client=client)
    async with events.aconsume("orders", group="billing", after=0, client=client) as consumer:
        event = await anext(consumer)
        assert event.into(str) == "1"
    assert [event.into(str) for event in await events.aread("orders", client=client)] == ["1"]
    assert [group.name for group in await events.agroups(client=client)] == ["billing"]
    assert await events.adead(client=client) == []


async def test_many_waiting_consumers_leave_room_for_other_work(client):
    async def first(consumer):
        async with consumer:
            return (await anext(consumer)).into(str)

    waiting = [
        asyncio.create_task(first(events.aconsume("orders", group=f"group {n}", after=0, client=client)))
        for n in range(20)
    ]
    await asyncio.sleep(0.3)
    await events.apublish("orders", "x", client=client)
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == ["x"] * 20


async def test_a_cancelled_task_ends_its_consumer(client):
    async def consume():
        async for _ in events.aconsume("orders", group="g", client=client):
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.3)
    task.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await task


def test_messages_reach_subscribers_and_queues(client, nats):
    everything, one = broker.subscribe("news", client=client), broker.subscribe("news", queue="q", client=client)
    seen: list[object] = []
    threads = [in_thread(lambda s=s: seen.append(next(s).into(dict))) for s in (everything, one)]

    def publish():
        broker.publish("news", {"a": 1}, header={"k": "v"}, client=client)
        return not any(thread.is_alive() for thread in threads)

    until(publish)
    assert seen == [{"a": 1}] * 2


def test_a_subscription_comes_back_after_its_server_went_away(client, server):
    subscription = broker.subscribe("news", client=client)
    seen: list[str] = []
    thread = in_thread(lambda: seen.append(next(subscription).into(str)))
    time.sleep(0.3)
    server.stop()
    server.start()
    began = time.monotonic()
    while thread.is_alive() and time.monotonic() - began < 10:
        try:
            broker.publish("news", "x", client=client)
        except errors.Unavailable:
            time.sleep(0.05)
        time.sleep(0.05)
    assert seen == ["x"]
