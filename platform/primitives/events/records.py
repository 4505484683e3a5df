"""Events on disk: append, read from anywhere, and where the end is. On the loop; every function names the namespace."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.msg import Msg

from micro.proto.events_pb2 import Event
from transport.bus import NoResponder, raise_refusal

from . import subjects
from .streams import Streams

BATCH = 256
BATCH_BYTES = 4 * 1024 * 1024
PAGE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an event is, and whether it was there before."""

    sequence: int
    duplicate: bool


async def append(streams: Streams, event: Event, *, namespace: str, subject: str, message_id: str = "") -> Stored:
    """Put an event on disk under `subject`; one whose `message_id` is known already is not stored again.

    Raises Unavailable when NATS is away, and then nobody knows whether the event is stored.
    """
    payload = event.SerializeToString()
    headers = {"Nats-Msg-Id": message_id} if message_id else None
    message = await streams.using(namespace, lambda: streams.bus.request(subject, payload, headers=headers))
    answer = json.loads(message.data.decode())
    raise_refusal(answer)
    return Stored(answer["seq"], answer.get("duplicate", False))


async def last(streams: Streams, *, namespace: str) -> int:
    """The sequence of the namespace's latest event; 0 when it never had one."""
    name = subjects.stream(namespace)
    info = await streams.using(namespace, lambda: streams.bus.jetstream(f"STREAM.INFO.{name}"))
    return int(info["state"]["last_seq"])


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, and the sequence after which the next page begins."""

    events: list[Event]
    next: int


@dataclass(frozen=True, slots=True)
class Range:
    """Which events of a topic: after a sequence, else since a time (unix seconds), without the first `skip`."""

    after: int
    since: int
    skip: int
    limit: int


async def page(streams: Streams, wanted: Range, *, namespace: str, topic: str) -> Page:
    """The topic's events within the range, oldest first, and no more than fit into one answer."""
    end = await last(streams, namespace=namespace)
    events: list[Event] = []
    size_bytes = 0
    past = history(streams, namespace=namespace, topic=topic, after=min(wanted.after, end), since=wanted.since)
    skip = wanted.skip
    async with aclosing(past):
        async for event in past:
            if skip:
                skip -= 1
                continue
            size_bytes += event.ByteSize()
            if events and (size_bytes > PAGE_BYTES or len(events) == wanted.limit):
                return Page(events, events[-1].sequence)
            events.append(event)
    return Page(events, max(end, events[-1].sequence) if events else end)


async def history(
    streams: Streams, *, namespace: str, topic: str, after: int = 0, since: int = 0
) -> AsyncGenerator[Event, None]:
    """A topic's events in order: those after a sequence, and published at or after `since` (unix seconds)."""
    more = True
    while more:
        events, more = await _batch(streams, namespace=namespace, topic=topic, after=after, since=since)
        for event in events:
            yield event
            after = event.sequence


async def _batch(streams: Streams, *, namespace: str, topic: str, after: int, since: int) -> tuple[list[Event], bool]:
    """Some events, and whether there are more."""
    wanted = {"next_by_subj": subjects.topic(namespace, topic), "batch": BATCH, "max_bytes": BATCH_BYTES}
    if since and not after:
        wanted["start_time"] = datetime.fromtimestamp(since, UTC).isoformat()
    else:
        wanted["seq"] = after + 1
    try:
        found, left = await streams.bus.stored(subjects.stream(namespace), wanted)
    except NoResponder:
        return [], False
    return [decode(message) for message in found], bool(found) and left > 0


def decode(message: Msg) -> Event:
    """The event in a message that NATS has stored."""
    event = Event.FromString(message.data)
    event.sequence = int((message.headers or {})["Nats-Sequence"])
    return event
