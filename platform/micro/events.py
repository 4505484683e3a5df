"""Durable topics: publish, consume in groups, replay.

    for event in events.consume("orders", group="billing"):
        charge(event.into(Order))

An event counts as handled when the loop comes round for the next one. What a loop leaves unfinished, because it raised
or its process died, the group is given again, five times unless told otherwise; then it is a dead letter. Each function
has a twin for `await` and `async for`, with an `a` before its name.
"""

from __future__ import annotations

import logging
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from . import aio, errors, values
from .proto import events_pb2 as pb

if TYPE_CHECKING:
    from .client import Client, Replies

ACK_WAIT = timedelta(seconds=30)
RETRIES = 12  # with the pauses of `nack`, 23 minutes
PATIENCE_S = 10.0  # with a server that is away, before a call fails
PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
LEAVE_S = 2.0  # how long the last acknowledgements may take
THE_END = 2**63 - 1  # a sequence that no event has

log = logging.getLogger(__name__)

T = TypeVar("T")
Acknowledge = Callable[[pb.AckRequest], None]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `attempt` says how often its group has been given it, `sequence` its place among all."""

    id: str
    topic: str
    payload: bytes
    metadata: Mapping[str, str]
    timestamp: datetime
    sequence: int
    attempt: int = 0
    _acknowledge: Acknowledge | None = field(default=None, repr=False, compare=False)

    def into(self, kind: type[T]) -> T:
        """The payload as bytes, str, a dataclass, dict, list... Raises InvalidArgument when it is none."""
        return values.decode(self.payload, kind)

    def ack(self) -> None:
        """It is done; do not wait for the loop to come round."""
        self._settle(pb.AckRequest(id=self.id, success=True))

    def nack(self, *, delay: timedelta | None = None) -> None:
        """Give the event back to its group, which gets it again after `delay`.

        Without `delay` the pause is 1 s after the first attempt and doubles with each, up to 5 minutes.
        """
        pause = int(delay.total_seconds() * 1e9) if delay else 0
        self._settle(pb.AckRequest(id=self.id, success=False, delay=pause))

    def _settle(self, ack: pb.AckRequest) -> None:
        if self._acknowledge is not None:
            self._acknowledge(ack)


@dataclass(frozen=True, slots=True)
class Group:
    """Who consumes a topic together, and how many events wait for it or for its acknowledgement."""

    topic: str
    name: str
    waiting: int
    unacknowledged: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a group has given up on, and why."""

    id: int
    group: str
    event: Event
    attempts: int
    reason: str
    died: datetime


def publish(
    topic: str,
    payload: object = b"",
    *,
    metadata: Mapping[str, str] | None = None,
    id: str = "",
    timestamp: datetime | None = None,
    client: Client | None = None,
) -> str:
    """The id of the event, once it is on disk. With an `id` of one's own, an event is published once.

    The payload is bytes, text, a dataclass or what JSON can hold. A server that is away is tried again for ten seconds;
    the id keeps that from publishing twice.
    """
    client = _client(client)
    request = pb.PublishRequest(
        topic=topic,
        payload=values.encode(payload),
        metadata=metadata,
        id=id or secrets.token_hex(16),
        timestamp=int(timestamp.timestamp()) if timestamp else 0,
        namespace=client.namespace,
    )
    _persist(lambda: client.invoke("events", "Stream.Publish", request, pb.PublishResponse))
    return request.id


def consume(  # noqa: PLR0913 - each is a keyword with a default
    topic: str,
    *,
    group: str = "",
    since: datetime | None = None,
    after: int | None = None,
    ack_wait: timedelta = ACK_WAIT,
    retries: int | None = RETRIES,
    prefetch: int = 0,
    client: Client | None = None,
) -> Consumer:
    """The events of a topic as they come, for ever; a connection that breaks is made again.

    Members of a group share the events, and the group goes on where it was. Without a group one gets all of them: those
    after a sequence, or since a time, else from now on; nothing is acknowledged, and nothing is missed while the
    connection breaks. `after` and `since` also say where a new group begins. `retries` None means no limit.
    """
    request = pb.ConsumeRequest(
        topic=topic,
        group=group,
        auto_ack=not group,
        ack_wait=int(ack_wait.total_seconds() * 1e9),
        retry_limit=-1 if retries is None else retries,
        offset=int(since.timestamp()) if since else 0,
        prefetch=prefetch,
    )
    if after is not None:
        request.after = after
    return Consumer(_client(client), request)


class Consumer(Iterator[Event]):
    """An open consumer. Close it, or leave its `with`, to give back what it has not handled."""

    def __init__(self, client: Client, request: pb.ConsumeRequest) -> None:
        self._client, self._request = client, request
        self._request.namespace = client.namespace
        self._replies: Replies[pb.Event] | None = None
        self._acks: queue.SimpleQueue[pb.AckRequest | None] = queue.SimpleQueue()
        self._current: pb.AckRequest | None = None
        self._pause_s = PAUSE_S
        self._has_been_open = False
        self._has_acknowledged = False
        self._reader = 0
        self._closed = threading.Event()

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __next__(self) -> Event:
        if self._current is not None:
            self._acknowledge(self._current)
        began = time.monotonic()
        while not self._closed.is_set():
            try:
                return self._event(self._read())
            except (errors.Unavailable, errors.ResourceExhausted) as error:
                self._disconnect()
                if not self._has_been_open and isinstance(error, errors.ResourceExhausted):
                    raise  # a quota; but when many come back at once, each has to wait its turn
                if not self._has_been_open and time.monotonic() - began > PATIENCE_S:
                    raise
                self._rest(error)
            except errors.Error:
                if not self._closed.is_set():
                    raise
        raise StopIteration

    def close(self) -> None:
        """End it, in whatever thread it is read."""
        self._closed.set()
        if self._reader == threading.get_ident():
            self._leave()
        self._disconnect()

    def _leave(self) -> None:
        """Let the acknowledgements arrive before the connection ends."""
        if self._replies is None or not self._has_acknowledged:
            return
        self._acks.put(None)
        timer = threading.Timer(LEAVE_S, self._replies.close)
        timer.start()
        try:
            for _ in self._replies:
                pass
        except errors.Error as error:
            log.debug("left %s: %s", self._request.topic, error)
        finally:
            timer.cancel()

    def _read(self) -> pb.Event:
        self._reader = threading.get_ident()
        message = next(self._open(), None)
        if message is None:
            raise errors.Unavailable("The server ended the stream.")
        return message

    def _event(self, message: pb.Event) -> Event:
        self._has_been_open, self._pause_s = True, PAUSE_S
        if not self._request.group:
            self._request.after, self._request.offset = message.sequence, 0
            return _event(message)
        self._current = pb.AckRequest(id=message.id, success=True)
        return _event(message, self._acknowledge)

    def _open(self) -> Replies[pb.Event]:
        if self._replies is None:
            if not self._request.group and not self._request.offset and not self._request.HasField("after"):
                self._request.after = self._end()
            self._acks, self._has_acknowledged = queue.SimpleQueue(), False
            requests = _sent(self._request, self._acks)
            self._replies = self._client.invoke_stream("events", "Stream.Consume", requests, pb.Event)
            if self._closed.is_set():
                self._replies.close()
        return self._replies

    def _end(self) -> int:
        """Where "from now on" begins, so that a connection that breaks before the first event loses none."""
        request = pb.ReadRequest(topic=self._request.topic, after=THE_END, limit=1, namespace=self._request.namespace)
        return self._client.invoke("events", "Store.Read", request, pb.ReadResponse).next

    def _acknowledge(self, ack: pb.AckRequest) -> None:
        if self._current is not None and self._current.id == ack.id:
            self._current = None
        self._has_acknowledged = True
        self._acks.put(ack)

    def _disconnect(self) -> None:
        self._current = None
        self._acks.put(None)
        if self._replies is not None:
            self._replies.close()
            self._replies = None

    def _rest(self, error: Exception) -> None:
        log.warning("consuming %s: %s; trying again", self._request.topic, error)
        self._closed.wait(self._pause_s * random.uniform(0.5, 1))  # noqa: S311 - so that not all come back at once
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)


def read(
    topic: str,
    *,
    since: datetime | None = None,
    after: int | None = None,
    limit: int = 250,
    client: Client | None = None,
) -> list[Event]:
    """A topic's events that are kept, oldest first: since a time, or after a sequence."""
    client = _client(client)
    request = pb.ReadRequest(topic=topic, limit=limit, namespace=client.namespace, after=after)
    request.since = int(since.timestamp()) if since else 0
    return [_event(event) for event in client.invoke("events", "Store.Read", request, pb.ReadResponse).events]


def groups(topic: str = "", *, client: Client | None = None) -> list[Group]:
    """The groups of a topic, or of all topics."""
    client = _client(client)
    request = pb.ListGroupsRequest(namespace=client.namespace, topic=topic)
    found = client.invoke("events", "Groups.List", request, pb.ListGroupsResponse).groups
    return [Group(group.topic, group.name, group.waiting, group.unacknowledged) for group in found]


def delete_group(topic: str, name: str, *, client: Client | None = None) -> None:
    """Forget a group and what waits for it. Raises NotFound."""
    client = _client(client)
    request = pb.DeleteGroupRequest(namespace=client.namespace, topic=topic, name=name)
    client.invoke("events", "Groups.Delete", request, pb.DeleteGroupResponse)


def dead(
    topic: str = "", *, group: str = "", after: int = 0, limit: int = 100, client: Client | None = None
) -> list[DeadLetter]:
    """What groups have given up on, oldest first."""
    client = _client(client)
    request = pb.ReadDeadLettersRequest(namespace=client.namespace, topic=topic, group=group, after=after, limit=limit)
    found = client.invoke("events", "DeadLetters.Read", request, pb.ReadDeadLettersResponse).letters
    return [_letter(letter) for letter in found]


def redrive(topic: str = "", *, group: str = "", ids: Sequence[int] = (), client: Client | None = None) -> int:
    """Give dead letters back to their groups, which see them as new; how many. By ids, or all of a topic or group."""
    return _change_dead("Redrive", topic, group, ids, client)


def delete_dead(topic: str = "", *, group: str = "", ids: Sequence[int] = (), client: Client | None = None) -> int:
    """Throw dead letters away; how many. By ids, or all of a topic or group."""
    return _change_dead("Delete", topic, group, ids, client)


apublish = aio.call(publish)
aconsume = aio.iterate(consume)
aread = aio.call(read)
agroups = aio.call(groups)
adelete_group = aio.call(delete_group)
adead = aio.call(dead)
aredrive = aio.call(redrive)
adelete_dead = aio.call(delete_dead)


def _change_dead(verb: str, topic: str, group: str, ids: Sequence[int], client: Client | None) -> int:
    client = _client(client)
    request = pb.ChangeDeadLettersRequest(namespace=client.namespace, topic=topic, group=group, ids=ids)
    return client.invoke("events", f"DeadLetters.{verb}", request, pb.ChangeDeadLettersResponse, timeout_s=60).count


def _sent(
    request: pb.ConsumeRequest, acks: queue.SimpleQueue[pb.AckRequest | None]
) -> Iterator[pb.ConsumeRequest | pb.AckRequest]:
    """What a consumer says on its stream: what it wants, then its acknowledgements, until a None."""
    yield request
    yield from iter(acks.get, None)


def _event(message: pb.Event, acknowledge: Acknowledge | None = None) -> Event:
    return Event(
        id=message.id,
        topic=message.topic,
        payload=message.payload,
        metadata=dict(message.metadata),
        timestamp=datetime.fromtimestamp(message.timestamp, UTC),
        sequence=message.sequence,
        attempt=message.attempt,
        _acknowledge=acknowledge,
    )


def _letter(message: pb.DeadLetter) -> DeadLetter:
    died = datetime.fromtimestamp(message.died, UTC)
    return DeadLetter(message.id, message.group, _event(message.event), message.attempts, message.reason, died)


def _persist(attempt: Callable[[], T]) -> T:
    """Call again for as long as the server is away, but not for longer than PATIENCE_S."""
    began, pause_s = time.monotonic(), PAUSE_S
    while True:
        try:
            return attempt()
        except (errors.Unavailable, errors.DeadlineExceeded):
            if time.monotonic() - began > PATIENCE_S:
                raise
        time.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - so that not all come back at once
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
