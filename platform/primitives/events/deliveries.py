"""Consumers that acknowledge: one session with JetStream for each open stream.

JetStream counts how often it has handed out an event, and hands it out again when it is refused or not acknowledged in
time. Who gives up on it is this file: what has been tried too often is buried in the database before JetStream forgets
it, so that no crash in between loses it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import InterfaceError, OperationalError
from nats.aio.msg import Msg

from micro.errors import Error, NotFound, ResourceExhausted, Unavailable
from micro.proto.events_pb2 import AckRequest, Event
from transport.bus import Bus, status

from . import operations
from .groups import Consumer

logger = logging.getLogger(__name__)

PULL_S = 120  # how long JetStream keeps a request for events that are not there yet
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 300.0  # before a refused event comes again: doubles with each attempt
BURIAL_DELAY_S = 5.0
UNSEEN_KEPT = 10_000

ACK, TERM = b"+ACK", b"+TERM"


@dataclass(frozen=True, slots=True)
class Terms:
    """What one consumer asked for: acks within `ack_wait_s`, no more than `prefetch` events without one.

    `retry_limit` None means no limit. With `auto_ack` an event is acknowledged when it has been sent.
    """

    ack_wait_s: float
    retry_limit: int | None
    prefetch: int
    auto_ack: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that JetStream handed out: for the how-manieth time, and where its acknowledgement goes."""

    event: Event
    reply: str
    attempt: int
    due: float  # by the loop's clock


class Unseen:
    """Hand-outs that never left this process: they must not count as attempts."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, int], int] = OrderedDict()

    def add(self, consumer: Consumer, sequence: int) -> None:
        """One more of an event's hand-outs was for nothing."""
        key = consumer.api, sequence
        self._counts[key] = self._counts.pop(key, 0) + 1
        if len(self._counts) > UNSEEN_KEPT:
            self._counts.popitem(last=False)

    def of(self, consumer: Consumer, sequence: int) -> int:
        """How many of an event's hand-outs were for nothing."""
        return self._counts.get((consumer.api, sequence), 0)


class Session:
    """One open stream of a consumer."""

    def __init__(self, bus: Bus, unseen: Unseen, consumer: Consumer, terms: Terms) -> None:
        self._bus, self._unseen, self._consumer, self._terms = bus, unseen, consumer, terms
        self._clock = asyncio.get_running_loop().time
        # An event that kills its consumer must not take innocent ones along attempt by attempt: the first ones come
        # alone, and so does everything after one that has been tried before.
        self._window = terms.prefetch if terms.auto_ack else 1
        self._arrived: deque[Msg] = deque()
        self._held: OrderedDict[str, Delivery] = OrderedDict()
        self._late: OrderedDict[str, Delivery] = OrderedDict()
        self._asked = 0  # events that JetStream was asked for and has not sent
        self._wake = asyncio.Event()
        self._failure: Exception | None = None
        self._is_finished = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """What the consumer is to see, until `finish`. Raises Unavailable, or what `fail` was given."""
        inbox = self._bus.new_inbox()
        subscription = await self._bus.subscribe(inbox, self._arrive)
        self._bus.on_back.add(self._ask_again)
        self._bus.on_away.add(self.fail)
        try:
            while not self._is_finished:
                await self._pull(inbox)
                if not self._arrived:
                    await self._wait()
                elif delivery := await self._next():
                    yield delivery.event
                    if self._terms.auto_ack:
                        await self.acknowledge(AckRequest(id=delivery.event.id, success=True))
        finally:
            self._bus.on_back.discard(self._ask_again)
            self._bus.on_away.discard(self.fail)
            self._bus.spawn(self._give_back(subscription))

    async def acknowledge(self, ack: AckRequest) -> None:
        """What became of an event. One that this stream does not hold (any more) means nothing."""
        delivery = self._held.pop(ack.id, None) or self._late.pop(ack.id, None)
        if delivery is None:
            return
        if ack.success:
            await self._bus.publish(delivery.reply, ACK)
            if delivery.attempt == 1:
                self._window = min(self._terms.prefetch, self._window * 2)
        elif self._is_spent(delivery.attempt):
            burial = self._give_up(delivery, attempts=delivery.attempt, reason="The consumer refused it.")
            await asyncio.shield(self._bus.spawn(burial))  # also when the consumer leaves meanwhile
        else:
            await self._refuse(delivery, delay_s=ack.delay / 1e9 or delay_after(delivery.attempt))
        self._wake.set()

    def fail(self, failure: Exception) -> None:
        """End the stream."""
        self._failure = failure
        self._wake.set()

    def finish(self) -> None:
        """End the stream: the consumer has said all it had to say."""
        self._is_finished = True
        self._wake.set()

    def _arrive(self, message: Msg) -> None:
        if code := status(message):
            unsent = (message.headers or {}).get("Nats-Pending-Messages", self._asked)
            self._asked = max(0, self._asked - int(unsent))
            self._failure = self._failure or _failure(self._consumer, code, message)
        else:
            self._asked = max(0, self._asked - 1)
            self._arrived.append(message)
        self._wake.set()

    def _ask_again(self) -> None:
        """NATS was away and knows of no requests."""
        self._asked = 0
        self._wake.set()

    async def _pull(self, inbox: str) -> None:
        """Ask for as many events as there is room for; not for every single one while others are on their way."""
        self._expire()
        coming = len(self._arrived) + self._asked
        room = self._window - len(self._held) - coming
        if room < 1 or (coming and room < self._window // 2):
            return
        self._asked += room
        body = json.dumps({"batch": room, "expires": PULL_S * 1_000_000_000}).encode()
        await self._bus.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._consumer.api}", body, reply=inbox)

    async def _wait(self) -> None:
        """Until something arrives or happens, or the oldest event's ack is overdue."""
        if self._failure is not None:
            raise self._failure
        oldest = next(iter(self._held.values()), None)
        try:
            async with asyncio.timeout_at(oldest.due if oldest else None):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _next(self) -> Delivery | None:
        """The next event that has arrived; None for one that has been tried too often."""
        message = self._arrived.popleft()
        delivery = self._delivery(message)
        if self._is_spent(delivery.attempt - 1):
            wait = f"{self._terms.ack_wait_s:g} s"
            await self._give_up(delivery, attempts=delivery.attempt - 1, reason=f"Not acknowledged within {wait}.")
            return None
        if delivery.attempt > 1 and not self._terms.auto_ack:
            self._window = 1
        self._late.pop(delivery.event.id, None)
        self._held.pop(delivery.event.id, None)
        self._held[delivery.event.id] = delivery
        return delivery

    def _delivery(self, message: Msg) -> Delivery:
        attempt, sequence = _counted(message.reply)
        event = Event.FromString(message.data)
        event.sequence = sequence
        event.attempt = max(1, attempt - self._unseen.of(self._consumer, sequence))
        return Delivery(event, message.reply, event.attempt, self._clock() + self._terms.ack_wait_s)

    def _is_spent(self, attempts: int) -> bool:
        return self._terms.retry_limit is not None and attempts > self._terms.retry_limit

    def _expire(self) -> None:
        """Events whose ack is overdue make room for others; an ack that comes a little late still counts."""
        now = self._clock()
        while self._held and (oldest := next(iter(self._held.values()))).due <= now:
            self._held.popitem(last=False)
            self._late[oldest.event.id] = oldest
        while self._late and next(iter(self._late.values())).due + self._terms.ack_wait_s <= now:
            self._late.popitem(last=False)

    async def _give_up(self, delivery: Delivery, *, attempts: int, reason: str) -> None:
        """Bury an event, and only then let JetStream forget it. Without a group nobody would ask for it again."""
        if self._consumer.group:
            try:
                await operations.bury(
                    self._consumer, delivery.event, attempts=attempts, reason=reason, at=datetime.now(UTC)
                )
            except (Error, OperationalError, InterfaceError) as error:
                logger.warning("an event waits for its burial: %s", str(error).strip())
                await self._refuse(delivery, delay_s=BURIAL_DELAY_S)
                return
        await self._bus.publish(delivery.reply, TERM)

    async def _refuse(self, delivery: Delivery, *, delay_s: float) -> None:
        delay = json.dumps({"delay": int(delay_s * 1e9)}).encode()
        await self._bus.publish(delivery.reply, b"-NAK " + delay)

    async def _give_back(self, subscription: object) -> None:
        """After the stream's end: what it holds goes to others at once."""
        await self._bus.leave(subscription)
        try:
            for message in self._arrived:
                self._unseen.add(self._consumer, _counted(message.reply)[1])
                await self._bus.publish(message.reply, b"-NAK")
            for delivery in self._held.values():
                await self._bus.publish(delivery.reply, b"-NAK")
        except Unavailable:
            logger.info("events that a consumer left behind wait for their ack wait to end")


def delay_after(attempt: int) -> float:
    """How long a refused event waits before it comes again, in seconds."""
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempt - 1, 30))


def _counted(reply: str) -> tuple[int, int]:
    """How often an event has been handed out, and its sequence: both are in the subject of its acknowledgement.

    $JS.ACK.<stream>.<consumer>.<attempt>.<sequence>..., in newer servers with domain and account after ACK.
    """
    parts = reply.split(".")
    first = 4 if len(parts) == 9 else 6
    return int(parts[first]), int(parts[first + 1])


def _failure(consumer: Consumer, code: str, message: Msg) -> Exception | None:
    """What a status means for the stream; nothing when it only ends a request for events."""
    description = (message.headers or {}).get("Description", "")
    if code == "503" or "Consumer Deleted" in description:
        return NotFound(f"The group {consumer.group!r} of topic {consumer.topic!r} was deleted.")
    if "MaxWaiting" in description:
        return ResourceExhausted(f"The group {consumer.group!r} of topic {consumer.topic!r} has too many consumers.")
    return None
