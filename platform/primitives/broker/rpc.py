"""broker.Broker on the wire: core NATS, which keeps nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack

from nats.aio.msg import Msg

from micro.errors import InvalidArgument, ResourceExhausted
from micro.proto import broker_pb2 as pb
from tenants.access.actors import needs
from tenants.access.permissions import Permission
from transport import bus
from transport.callers import Caller, authorize
from transport.counting import Concurrent, Rate
from transport.database import PerLoop
from transport.methods import Methods, server_stream, unary

from . import limits

LONGEST_TOPIC = 1024  # bytes
LONGEST_QUEUE = 256  # bytes
OVERHEAD_BYTES = 1024
KEPT_FOR_ONE = 1024  # messages that a subscriber has not read yet
KEPT_BYTES = 16 * 1024 * 1024
# What belongs to the connection that a request came on, and not to the request.
OF_THE_CONNECTION = ("grpc-", ":", "te", "content-type", "content-length", "x-envoy-", "x-forwarded-", "x-request-id")


class Broker:
    """What the methods of one process share."""

    def __init__(self) -> None:
        self.bus = bus.get()
        self.rate = Rate("messages")
        self.open = Concurrent("subscribers")

    async def close(self) -> None:
        """Nothing of its own is open."""


class Mailbox:
    """What a subscriber has not read yet."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._size_bytes = 0
        self._failure: Exception | None = None
        self._wake = asyncio.Event()

    def put(self, message: Msg) -> None:
        """A message for the subscriber, who is cut off when it reads too slowly: nothing else could be told it."""
        self._size_bytes += len(message.data)
        if len(self._messages) >= KEPT_FOR_ONE or self._size_bytes > KEPT_BYTES:
            self.fail(ResourceExhausted("The subscriber reads too slowly; messages were lost. Subscribe again."))
            return
        self._messages.append(message.data)
        self._wake.set()

    def fail(self, failure: Exception) -> None:
        """End the stream."""
        self._failure = failure
        self._wake.set()

    async def read(self) -> AsyncIterator[pb.Message]:
        """Messages as they come, for ever; raises what `fail` was given."""
        while True:
            while self._messages and self._failure is None:
                payload = self._messages.popleft()
                self._size_bytes -= len(payload)
                yield pb.Message.FromString(payload)
            if self._failure is not None:
                raise self._failure
            await self._wake.wait()
            self._wake.clear()


async def publish(request: pb.PublishRequest, caller: Caller) -> pb.Empty:
    """To whoever is subscribed now; answered when NATS has it."""
    namespace = authorize(caller, request.namespace)
    _require_topic(request.topic)
    if not request.HasField("message"):
        raise InvalidArgument("Missing message")
    broker = _broker.get()
    message = pb.Message(header=_merged(request.message.header, caller.metadata), body=request.message.body)
    payload = message.SerializeToString()
    await broker.bus.connected()
    if len(payload) > broker.bus.max_payload_bytes - OVERHEAD_BYTES:
        most = broker.bus.max_payload_bytes
        raise ResourceExhausted(f"The field message is too large: it would take {len(payload)} of {most} bytes.")
    broker.rate.take(namespace, per_s=limits.of(namespace).messages_per_s)
    await broker.bus.publish(_subject(namespace, request.topic), payload)
    await broker.bus.confirm()
    return pb.Empty()


async def subscribe(request: pb.SubscribeRequest, caller: Caller) -> AsyncGenerator[pb.Message, None]:
    """Messages until the caller leaves; of those with the same queue, one gets each."""
    namespace = authorize(caller, request.namespace)
    _require_topic(request.topic)
    if len(request.queue.encode()) > LONGEST_QUEUE:
        raise InvalidArgument(f"The field queue may be {LONGEST_QUEUE} bytes long.")
    broker = _broker.get()
    mailbox = Mailbox()
    async with AsyncExitStack() as stack:
        stack.enter_context(broker.open.one_more(namespace, limit=limits.of(namespace).subscribers))
        stack.callback(broker.bus.on_away.discard, mailbox.fail)
        broker.bus.on_away.add(mailbox.fail)
        await broker.bus.connected(patiently=True)  # Micro's Go client subscribes again without a pause
        await _listen(broker.bus, stack, _subject(namespace, request.topic), mailbox, queue=request.queue)
        async for message in mailbox.read():
            yield message


async def _listen(connection: bus.Bus, stack: AsyncExitStack, subject: str, mailbox: Mailbox, *, queue: str) -> None:
    if not queue:
        await stack.enter_async_context(connection.listen(subject, mailbox.put))
        return
    subscription = await connection.subscribe(subject, mailbox.put, queue=bus.token(queue))
    stack.callback(lambda: connection.spawn(connection.leave(subscription)))


def _merged(header: Mapping[str, str], metadata: Mapping[str, str]) -> dict[str, str]:
    """The message's header, and under names that it does not have the request's metadata, written as Micro does."""
    own = {name.lower() for name in header}
    added = {
        name.title(): value
        for name, value in metadata.items()
        if name not in own and not name.startswith(OF_THE_CONNECTION)
    }
    return added | dict(header)


def _subject(namespace: str, topic: str) -> str:
    return f"broker.{namespace}.{bus.token(topic)}"


def _require_topic(topic: str) -> None:
    if not topic:
        raise InvalidArgument("Missing topic")
    if len(topic.encode()) > LONGEST_TOPIC:
        raise InvalidArgument(f"The field topic may be {LONGEST_TOPIC} bytes long.")


METHODS: Methods = {
    "Broker.Publish": unary(
        publish, request=pb.PublishRequest, response=pb.Empty, scope=needs(Permission.BROKER_WRITE)
    ),
    "Broker.Subscribe": server_stream(
        subscribe, request=pb.SubscribeRequest, response=pb.Message, scope=needs(Permission.BROKER_READ)
    ),
}

_broker: PerLoop[Broker] = PerLoop(Broker)
