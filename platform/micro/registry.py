"""Which services a namespace has, where they listen, and what they take and return.

    for change in registry.watch():
        print(change.action, change.service.name)

Each function has a twin for `await` and `async for`, with an `a` before its name.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import aio, errors
from .persistence import persistently
from .proto import registry_pb2

if TYPE_CHECKING:
    from .client import Client, Replies

PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0

log = logging.getLogger(__name__)

_Versions = Mapping[tuple[str, str], registry_pb2.Service]  # by name and version


@dataclass(frozen=True, slots=True)
class Change:
    """A version of a service came, changed or went: `action` is create, update or delete."""

    action: str
    service: registry_pb2.Service


def services(*, client: Client | None = None) -> list[str]:
    """The names of the namespace's services, sorted, each once."""
    client = _client(client)
    request = registry_pb2.ListRequest(options=registry_pb2.Options(domain=client.namespace))
    reply = persistently(lambda: client.invoke("registry", "Registry.ListServices", request, registry_pb2.ListResponse))
    return sorted({service.name for service in reply.services})


def service(name: str, *, domain: str = "", client: Client | None = None) -> list[registry_pb2.Service]:
    """Every version of a service, with descriptors where they are known. Raises NotFound."""
    client = _client(client)
    options = registry_pb2.Options(domain=domain or client.namespace, descriptors=True)
    request = registry_pb2.GetRequest(service=name, options=options)
    reply = persistently(lambda: client.invoke("registry", "Registry.GetService", request, registry_pb2.GetResponse))
    return list(reply.services)


def register(  # noqa: PLR0913 - what a registration is made of
    name: str,
    *,
    node: str,
    address: str,
    version: str = "latest",
    protocol: str = "grpc",
    metadata: Mapping[str, str] | None = None,
    descriptors: bytes = b"",
    ttl_s: int = 90,
    client: Client | None = None,
) -> None:
    """Tell for `ttl_s` seconds where a node listens (`host:port`), and whether it speaks grpc or http.

    `metadata` is the service's own, `descriptors` a FileDescriptorSet.
    """
    client = _client(client)
    message = _node_of(name, version, node, address, client, protocol)
    message.protocol, message.descriptors = protocol, descriptors
    message.metadata.update(metadata or {})
    message.options.ttl = ttl_s
    client.invoke("registry", "Registry.Register", message, registry_pb2.EmptyResponse)


def deregister(name: str, *, node: str, address: str, version: str = "latest", client: Client | None = None) -> None:
    """Take a node out."""
    client = _client(client)
    client.invoke(
        "registry", "Registry.Deregister", _node_of(name, version, node, address, client), registry_pb2.EmptyResponse
    )


def watch(name: str = "", *, client: Client | None = None) -> Watch:
    """What changes from now on in one service or, without a name, in the whole namespace; for ever.

    A connection that breaks is made again; what has changed meanwhile is told then.
    """
    client = _client(client)
    options = registry_pb2.Options(domain=client.namespace)
    return Watch(client, registry_pb2.WatchRequest(service=name, options=options, from_start=True))


class Watch(Iterator[Change]):
    """An open watch. Close it, or leave its `with`, to end it."""

    def __init__(self, client: Client, request: registry_pb2.WatchRequest) -> None:
        self._client, self._request = client, request
        self._replies: Replies[registry_pb2.Result] | None = None
        self._known: dict[tuple[str, str], registry_pb2.Service] | None = None
        self._untold: deque[Change] = deque()
        self._pause_s = PAUSE_S
        self._closed = threading.Event()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __next__(self) -> Change:
        while not self._closed.is_set():
            if self._untold:
                return self._untold.popleft()
            try:
                self._untold.extend(self._connect() if self._replies is None else self._read(self._replies))
            except errors.Unavailable as error:
                self._disconnect()
                self._rest(error)
            except errors.Error:
                if not self._closed.is_set():
                    raise
            else:
                self._pause_s = PAUSE_S
        raise StopIteration

    def close(self) -> None:
        """End it, in whatever thread it is read."""
        self._closed.set()
        self._disconnect()

    def _connect(self) -> list[Change]:
        """What has changed since the connection before this; nothing at the first."""
        replies = self._client.invoke_stream("registry", "Registry.Watch", [self._request], registry_pb2.Result)
        self._replies = replies
        if self._closed.is_set():
            replies.close()
        there = {}
        while (result := _next(replies)).action != "ready":
            there[_key(result.service)] = result.service
        known, self._known = self._known, there
        return [] if known is None else list(_differences(known, there))

    def _read(self, replies: Replies[registry_pb2.Result]) -> list[Change]:
        result = _next(replies)
        known = self._known if self._known is not None else {}
        if result.action == "delete":
            known.pop(_key(result.service), None)
        else:
            known[_key(result.service)] = result.service
        return [Change(result.action, result.service)]

    def _disconnect(self) -> None:
        if self._replies is not None:
            self._replies.close()
            self._replies = None

    def _rest(self, error: Exception) -> None:
        log.warning("watching the registry: %s; trying again", error)
        self._closed.wait(self._pause_s * random.uniform(0.5, 1))  # noqa: S311 - so that not all come back at once
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)


aservices = aio.call(services)
aservice = aio.call(service)
aregister = aio.call(register)
aderegister = aio.call(deregister)
awatch = aio.iterate(watch)


def _next(replies: Replies[registry_pb2.Result]) -> registry_pb2.Result:
    result = next(replies, None)
    if result is None:
        raise errors.Unavailable("The server ended the stream.")
    return result


def _key(service: registry_pb2.Service) -> tuple[str, str]:
    return service.name, service.version


def _differences(known: _Versions, there: _Versions) -> Iterator[Change]:
    yield from (Change("delete", known[key]) for key in sorted(known.keys() - there.keys()))
    yield from (Change("create", there[key]) for key in sorted(there.keys() - known.keys()))
    yield from (Change("update", there[key]) for key in sorted(there) if known.get(key, there[key]) != there[key])


def _node_of(
    name: str, version: str, node: str, address: str, client: Client, protocol: str = "grpc"
) -> registry_pb2.Service:
    message = registry_pb2.Service(name=name, version=version)
    message.options.domain = client.namespace
    metadata = dict.fromkeys(("protocol", "server", "transport"), protocol)
    message.nodes.add(id=node, address=address, port=int(address.rpartition(":")[2]), metadata=metadata)
    return message


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
