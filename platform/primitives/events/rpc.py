"""events.Stream, Store, Groups and DeadLetters on the wire."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from micro.errors import InvalidArgument, ResourceExhausted, Unimplemented
from micro.proto import events_pb2 as pb
from tenants.access.actors import needs
from tenants.access.permissions import Permission
from transport import bus
from transport.callers import Caller, authorize
from transport.counting import Concurrent, Rate
from transport.database import PerLoop
from transport.methods import Methods, bidi, unary

from . import limits, operations, records, subjects
from .deliveries import Session, Terms, Unseen
from .following import Latest, follow
from .groups import Consumer, Groups, Start
from .streams import Streams

LONGEST_TOPIC = 1024  # bytes
LONGEST_NAME = 256  # bytes: of groups and ids
LONGEST_METADATA = 64 * 1024  # bytes
LATEST_TIME = 253_402_300_799  # the end of the year 9999
LONGEST_ACK_WAIT = 24 * 3600 * 10**9  # nanoseconds
MOST_RETRIES = 1_000_000
MOST_SKIPPED = 100_000
READ_AT_ONCE, READ_AT_MOST = 250, 10_000
OVERHEAD_BYTES = 1024  # of a message's headers in NATS
PREFETCH, PREFETCH_AUTO, PREFETCH_AT_MOST = 64, 256, 1000
AUTO_ACK_WAIT_S = 30.0
LETTERS, LETTERS_AT_MOST = 100, 1000


class Events:
    """What the methods of one process share."""

    def __init__(self) -> None:
        self.bus = bus.get()
        self.streams = Streams(self.bus)
        self.groups = Groups(self.streams)
        self.rate = Rate("events")
        self.open = Concurrent("consumers")
        self.unseen = Unseen()
        self.latest = Latest()

    async def close(self) -> None:
        """Nothing of its own is open."""


async def publish(request: pb.PublishRequest, caller: Caller) -> pb.PublishResponse:
    """Answered when the event is on disk."""
    namespace = authorize(caller, request.namespace)
    events = _events.get()
    _require_topic(request.topic)
    event = pb.Event(
        id=_text("id", request.id, LONGEST_NAME) or secrets.token_hex(16),
        topic=request.topic,
        metadata=request.metadata or None,
        payload=request.payload,
        timestamp=_number("timestamp", request.timestamp, most=LATEST_TIME) or int(time.time()),
    )
    await events.bus.connected()
    _require_size(request, event, most=events.bus.max_payload_bytes)
    events.rate.take(namespace, per_s=limits.of(namespace).events_per_s)
    stored = await records.append(
        events.streams,
        event,
        namespace=namespace,
        subject=subjects.topic(namespace, request.topic),
        message_id=subjects.message_id(request.topic, request.id) if request.id else "",
    )
    return pb.PublishResponse(id=event.id, sequence=stored.sequence, duplicate=stored.duplicate)


async def consume(requests: AsyncIterator[Any], caller: Caller) -> AsyncGenerator[pb.Event, None]:
    """Events as they come; the caller's further messages acknowledge them."""
    request: pb.ConsumeRequest = await anext(requests, pb.ConsumeRequest())
    namespace = authorize(caller, request.namespace)
    _require_topic(request.topic)
    terms, start = _terms(request), _start(request)
    _text("group", request.group, LONGEST_NAME)
    events = _events.get()
    with events.open.one_more(namespace, limit=limits.of(namespace).consumers):
        if request.group or not request.auto_ack:
            source = _acknowledged(events, request, requests, namespace=namespace, terms=terms, start=start)
        else:
            source = follow(
                events.streams, events.latest,
                namespace=namespace, topic=request.topic, after=start.after, since=start.since,
            )  # fmt: skip
        async with aclosing(source) as found:
            async for event in found:
                yield event


async def _acknowledged(
    events: Events, request: pb.ConsumeRequest, acks: AsyncIterator[pb.AckRequest],
    *, namespace: str, terms: Terms, start: Start,
) -> AsyncGenerator[pb.Event, None]:  # fmt: skip
    consumer = await _consumer(events, request, namespace=namespace, terms=terms, start=start)
    session = Session(events.bus, events.unseen, consumer, terms)
    reader = asyncio.create_task(_read_acks(session, acks))
    try:
        async with aclosing(session.events()) as found:
            async for event in found:
                yield event
    finally:
        reader.cancel()
        if not consumer.group:
            events.bus.spawn(events.groups.remove(consumer))


async def _consumer(
    events: Events, request: pb.ConsumeRequest, *, namespace: str, terms: Terms, start: Start
) -> Consumer:
    groups, wait_s = events.groups, terms.ack_wait_s
    if not request.group:
        return await groups.join_alone(namespace=namespace, topic=request.topic, start=start, ack_wait_s=wait_s)
    return await groups.join(
        namespace=namespace, topic=request.topic, group=request.group, start=start, ack_wait_s=wait_s
    )


async def _read_acks(session: Session, acks: AsyncIterator[pb.AckRequest]) -> None:
    """Until the caller closes its side: then it leaves, unless it is one that cannot acknowledge at all."""
    can_acknowledge = False
    try:
        async for ack in acks:
            can_acknowledge = True
            _number("delay", ack.delay, most=LONGEST_ACK_WAIT)
            await session.acknowledge(ack)
        if can_acknowledge:
            session.finish()
    except Exception as error:  # noqa: BLE001 - the stream that it belongs to ends with it
        session.fail(error)


async def read(request: pb.ReadRequest, caller: Caller) -> pb.ReadResponse:
    """A topic's events on disk, oldest first."""
    namespace = authorize(caller, request.namespace)
    _require_topic(request.topic)
    wanted = records.Range(
        after=_number("after", request.after),
        since=_number("since", request.since, most=LATEST_TIME),
        skip=_number("offset", request.offset, most=MOST_SKIPPED),
        limit=_number("limit", request.limit, most=READ_AT_MOST) or READ_AT_ONCE,
    )
    page = await records.page(_events.get().streams, wanted, namespace=namespace, topic=request.topic)
    return pb.ReadResponse(events=page.events, next=page.next)


async def write(_request: pb.WriteRequest, _caller: Caller) -> pb.WriteResponse:
    """As in Micro."""
    raise Unimplemented("Events are written by Stream.Publish.")


async def list_groups(request: pb.ListGroupsRequest, caller: Caller) -> pb.ListGroupsResponse:
    """The groups of a namespace or of one topic."""
    namespace = authorize(caller, request.namespace)
    groups = await _events.get().groups.listing(namespace=namespace, topic=request.topic)
    return pb.ListGroupsResponse(
        groups=[
            pb.Group(topic=group.topic, name=group.name, waiting=group.waiting, unacknowledged=group.unacknowledged)
            for group in groups
        ]
    )


async def delete_group(request: pb.DeleteGroupRequest, caller: Caller) -> pb.DeleteGroupResponse:
    """Forget a group and its backlog."""
    namespace = authorize(caller, request.namespace)
    _require_topic(request.topic)
    await _events.get().groups.delete(namespace=namespace, topic=request.topic, group=request.name)
    return pb.DeleteGroupResponse()


async def read_letters(request: pb.ReadDeadLettersRequest, caller: Caller) -> pb.ReadDeadLettersResponse:
    """A page of dead letters."""
    letters = await operations.read(
        namespace=authorize(caller, request.namespace),
        topic=request.topic,
        group=request.group,
        after=_number("after", request.after),
        limit=_number("limit", request.limit, most=LETTERS_AT_MOST) or LETTERS,
    )
    return pb.ReadDeadLettersResponse(
        letters=[
            pb.DeadLetter(
                id=letter.pk,
                group=letter.group,
                event=pb.Event.FromString(bytes(letter.event)),
                attempts=letter.attempts,
                reason=letter.reason,
                died=int(letter.died_at.timestamp()),
            )
            for letter in letters
        ]
    )


async def redrive(request: pb.ChangeDeadLettersRequest, caller: Caller) -> pb.ChangeDeadLettersResponse:
    """Give dead letters back to their groups."""
    namespace = authorize(caller, request.namespace)
    _require_selection(request)
    events = _events.get()
    count = await operations.redrive(
        events.streams, events.groups,
        namespace=namespace, topic=request.topic, group=request.group, ids=request.ids,
    )  # fmt: skip
    return pb.ChangeDeadLettersResponse(count=count)


async def delete_letters(request: pb.ChangeDeadLettersRequest, caller: Caller) -> pb.ChangeDeadLettersResponse:
    """Throw dead letters away."""
    namespace = authorize(caller, request.namespace)
    _require_selection(request)
    count = await operations.delete(namespace=namespace, topic=request.topic, group=request.group, ids=request.ids)
    return pb.ChangeDeadLettersResponse(count=count)


def _terms(request: pb.ConsumeRequest) -> Terms:
    if not request.auto_ack and request.ack_wait <= 0:
        raise InvalidArgument("invalid AckWait passed, should be positive integer")
    ack_wait = _number("ack_wait", request.ack_wait, most=LONGEST_ACK_WAIT)
    retries = _number("retry_limit", request.retry_limit, least=-1, most=MOST_RETRIES)
    prefetch = _number("prefetch", request.prefetch, most=PREFETCH_AT_MOST)
    return Terms(
        ack_wait_s=AUTO_ACK_WAIT_S if request.auto_ack else ack_wait / 1e9,
        retry_limit=None if request.auto_ack or retries < 0 else retries,
        prefetch=prefetch or (PREFETCH_AUTO if request.auto_ack else PREFETCH),
        auto_ack=request.auto_ack,
    )


def _start(request: pb.ConsumeRequest) -> Start:
    since = _number("offset", request.offset, most=LATEST_TIME)
    after = _number("after", request.after) if request.HasField("after") else None
    return Start(after=after, since=since)


def _require_topic(topic: str) -> None:
    if not topic:
        raise InvalidArgument("Missing topic")
    _text("topic", topic, LONGEST_TOPIC)


def _require_selection(request: pb.ChangeDeadLettersRequest) -> None:
    if not request.ids and not request.topic:
        raise InvalidArgument("Say which dead letters: a topic, or ids.")
    if len(request.ids) > LETTERS_AT_MOST:
        raise InvalidArgument(f"The field ids may hold {LETTERS_AT_MOST} ids.")


def _require_size(request: pb.PublishRequest, event: pb.Event, *, most: int) -> None:
    if request.metadata and sum(len(key) + len(value) for key, value in request.metadata.items()) > LONGEST_METADATA:
        raise ResourceExhausted(f"The field metadata may hold {LONGEST_METADATA} characters.")
    if (size := event.ByteSize()) > most - OVERHEAD_BYTES:
        raise ResourceExhausted(f"The field payload is too large: the event would take {size} of {most} bytes.")


def _text(field: str, value: str, longest: int) -> str:
    if len(value) > longest or len(value.encode()) > longest:
        raise InvalidArgument(f"The field {field} may be {longest} bytes long.")
    return value


def _number(field: str, value: int, *, least: int = 0, most: int = 2**63 - 1) -> int:
    if not least <= value <= most:
        raise InvalidArgument(f"The field {field} must be between {least} and {most}, not {value}.")
    return value


METHODS: Methods = {
    "Stream.Publish": unary(
        publish, request=pb.PublishRequest, response=pb.PublishResponse, scope=needs(Permission.EVENTS_WRITE)
    ),
    "Stream.Consume": bidi(
        consume, request=pb.ConsumeRequest, response=pb.Event, scope=needs(Permission.EVENTS_READ), then=pb.AckRequest
    ),
    "Store.Read": unary(read, request=pb.ReadRequest, response=pb.ReadResponse, scope=needs(Permission.EVENTS_READ)),
    "Store.Write": unary(
        write, request=pb.WriteRequest, response=pb.WriteResponse, scope=needs(Permission.EVENTS_WRITE)
    ),
    "Groups.List": unary(
        list_groups, request=pb.ListGroupsRequest, response=pb.ListGroupsResponse, scope=needs(Permission.EVENTS_READ)
    ),
    "Groups.Delete": unary(
        delete_group,
        request=pb.DeleteGroupRequest,
        response=pb.DeleteGroupResponse,
        scope=needs(Permission.EVENTS_DELETE),
    ),
    "DeadLetters.Read": unary(
        read_letters,
        request=pb.ReadDeadLettersRequest,
        response=pb.ReadDeadLettersResponse,
        scope=needs(Permission.EVENTS_READ),
    ),
    "DeadLetters.Redrive": unary(
        redrive,
        request=pb.ChangeDeadLettersRequest,
        response=pb.ChangeDeadLettersResponse,
        scope=needs(Permission.EVENTS_DELETE),
    ),
    "DeadLetters.Delete": unary(
        delete_letters,
        request=pb.ChangeDeadLettersRequest,
        response=pb.ChangeDeadLettersResponse,
        scope=needs(Permission.EVENTS_DELETE),
    ),
}

_events: PerLoop[Events] = PerLoop(Events)
