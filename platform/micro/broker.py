"""Messages to whoever is there: nothing is kept, nothing is acknowledged.

    for message in broker.subscribe("prices", queue="printer"):
        print(message.into(dict))

Each function has a twin for `await` and `async for`, with an `a` before its name.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from . import aio, errors, values
from .proto import broker_pb2 as pb

if TYPE_CHECKING:
    from .client import Client, Replies

PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody published."""

    body: bytes
    header: Mapping[str, str]

    def into(self, kind: type[T]) -> T:
        """The body as bytes, str, a dataclass, dict, list... Raises InvalidArgument when it is none."""
        return values.decode(self.body, kind)


def publish(
    topic: str, body: object = b"", *, header: Mapping[str, str] | None = None, client: Client | None = None
) -> None:
    """To everybody who is subscribed now. The body is bytes, text, a dataclass or what JSON can hold."""
    client = _client(client)
    message = pb.Message(header=header, body=values.encode(body))
    request = pb.PublishRequest(topic=topic, message=message, namespace=client.namespace)
    client.invoke("broker", "Broker.Publish", request, pb.Empty)


def subscribe(topic: str, *, queue: str = "", client: Client | None = None) -> Subscription:
    """What is published from now on, for ever; of all subscribers with the same queue, one gets each message.

    A connection that breaks is made again; what was published meanwhile is missed.
    """
    return Subscription(_client(client), pb.SubscribeRequest(topic=topic, queue=queue))


class Subscription(Iterator[Message]):
    """An open subscription. Close it, or leave its `with`, to end it."""

    def __init__(self, client: Client, request: pb.SubscribeRequest) -> None:
        self._client, self._request = client, request
        self._request.namespace = client.namespace
        self._replies: Replies[pb.Message] | None = None
        self._pause_s = PAUSE_S
        self._has_been_open = False
        self._closed = threading.Event()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __next__(self) -> Message:
        while not self._closed.is_set():
            try:
                message = self._read()
            except (errors.Unavailable, errors.ResourceExhausted) as error:
                self._disconnect()
                if not self._has_been_open and isinstance(error, errors.ResourceExhausted):
                    raise  # a quota; but who read too slowly, or comes back with many others, goes on
                self._rest(error)
            except errors.Error:
                if not self._closed.is_set():
                    raise
            else:
                self._pause_s, self._has_been_open = PAUSE_S, True
                return Message(message.body, dict(message.header))
        raise StopIteration

    def close(self) -> None:
        """End it, in whatever thread it is read."""
        self._closed.set()
        self._disconnect()

    def _read(self) -> pb.Message:
        message = next(self._open(), None)
        if message is None:
            raise errors.Unavailable("The server ended the stream.")
        return message

    def _open(self) -> Replies[pb.Message]:
        if self._replies is None:
            self._replies = self._client.invoke_stream("broker", "Broker.Subscribe", [self._request], pb.Message)
            if self._closed.is_set():
                self._replies.close()
        return self._replies

    def _disconnect(self) -> None:
        if self._replies is not None:
            self._replies.close()
            self._replies = None

    def _rest(self, error: Exception) -> None:
        log.warning("subscribed to %s: %s; trying again", self._request.topic, error)
        self._closed.wait(self._pause_s * random.uniform(0.5, 1))  # noqa: S311 - so that not all come back at once
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)


apublish = aio.call(publish)
asubscribe = aio.iterate(subscribe)


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
