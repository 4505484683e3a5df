"""Consumers without a group: each gets every event of a topic, and JetStream keeps nothing for any of them.

They share one subscription to what is published now. Whoever falls behind, because it reads slowly or NATS was away,
reads from disk what it missed and joins the others again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from nats.aio.msg import Msg

from micro.errors import Unavailable
from micro.proto.events_pb2 import Event

from . import records, subjects
from .streams import Streams

KEPT_IN_MEMORY = 256  # for each; what comes while these wait is read from disk


class Latest:
    """The last message decoded: those who follow a topic hear of it one after the other."""

    def __init__(self) -> None:
        self._message: Msg | None = None
        self._event = Event()

    def decode(self, message: Msg) -> Event:
        """The message's event, which nobody may change."""
        if message is not self._message:
            self._message, self._event = message, records.decode(message)
        return self._event


class Follower:
    """One consumer's queue, and whether there is more on disk than in it."""

    __slots__ = ("_failure", "_latest", "_wake", "is_behind", "queue")

    def __init__(self, latest: Latest, *, is_behind: bool) -> None:
        self._latest = latest
        self._wake = asyncio.Event()
        self._failure: Unavailable | None = None
        self.queue: deque[Event] = deque()
        self.is_behind = is_behind

    def hear(self, message: Msg) -> None:
        """Of an event that was published just now."""
        if self.is_behind:
            return
        if len(self.queue) >= KEPT_IN_MEMORY:
            self.is_behind = True
        else:
            self.queue.append(self._latest.decode(message))
        self._wake.set()

    def fall_behind(self) -> None:
        """Something may have been missed."""
        self.is_behind = True
        self._wake.set()

    def fail(self, failure: Unavailable) -> None:
        """NATS is away for longer than a consumer should wait."""
        self._failure = failure
        self._wake.set()

    async def wait(self) -> None:
        """Until there is something to do; raises what `fail` was given."""
        await self._wake.wait()
        self._wake.clear()
        if self._failure is not None:
            raise self._failure


async def follow(
    streams: Streams, latest: Latest, *, namespace: str, topic: str, after: int | None = None, since: int = 0
) -> AsyncGenerator[Event, None]:
    """The topic's events: those after a sequence, or since a time (unix seconds), else from now on; without an end.

    Raises Unavailable when NATS is away for longer than a moment.
    """
    bus = streams.bus
    await streams.ensure(namespace)
    follower = Follower(latest, is_behind=after is not None or since > 0)
    bus.on_back.add(follower.fall_behind)
    bus.on_away.add(follower.fail)
    try:
        async with bus.listen(subjects.live(namespace, topic), follower.hear):
            end = await records.last(streams, namespace=namespace)
            position = 0 if since and after is None else min(end if after is None else after, end)
            while True:
                if follower.queue:
                    event = follower.queue.popleft()
                    if event.sequence > position:
                        position = event.sequence
                        yield event
                elif follower.is_behind:
                    follower.is_behind = False  # from here on the queue has what the disk may not show yet
                    missed = records.history(streams, namespace=namespace, topic=topic, after=position, since=since)
                    async with aclosing(missed) as events:
                        async for event in events:
                            position = event.sequence
                            yield event
                    since = 0
                else:
                    await follower.wait()
    finally:
        bus.on_back.discard(follower.fall_behind)
        bus.on_away.discard(follower.fail)
