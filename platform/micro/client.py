"""Calls to any service by name."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from . import codec, errors, home, wire

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

    from . import channel, web_calls
    from .proto import registry_pb2

TIMEOUT_S = 5.0

M = TypeVar("M", bound=Message)
R = TypeVar("R")


class Client:
    """A server, a namespace and an identity to call with.

        Client().call("helloworld", "Helloworld.Call", {"name": "Joe"})["msg"]

    Without arguments: where and who the process is by its MICRO_* variables, else by `micro env` and `micro login`.
    Safe to share between threads.
    """

    def __init__(
        self, address: str = "", *, namespace: str = "", target: home.Target | None = None, is_brief: bool = False
    ) -> None:
        """`is_brief` is for a process that makes a call or two and ends: it goes without grpcio where it can."""
        from . import identity

        self._target = target or home.target(address=address, namespace=namespace)
        self._connection = _connection(self._target, is_brief=is_brief)
        self._identity = identity.of_this_process(self._target)
        self._services: dict[str, list[registry_pb2.Service]] = {}
        self._methods: dict[str, dict[str, MethodDescriptor]] = {}

    @property
    def address(self) -> str:
        return self._target.address

    @property
    def namespace(self) -> str:
        return self._target.namespace

    def call(
        self,
        service: str,
        endpoint: str,
        request: Mapping[str, Any] | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """The answer of `Handler.Method`, as JSON has it: 64-bit integers are strings, bytes are base64.

        Raises an Error of micro.errors: the one the service raised, or Unavailable, NotFound, Unimplemented on the way.
        """
        path = wire.path(service, endpoint)
        encode, decode, content_type = self._codec(service, endpoint)
        data = self._connection.unary(
            path,
            encode(request or {}),
            metadata=self._metadata(service, content_type, metadata, timeout_s=timeout_s),
            timeout_s=timeout_s,
        )
        return decode(data)

    def stream(
        self,
        service: str,
        endpoint: str,
        requests: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Replies[dict[str, Any]]:
        """The answers of a method that streams, as they come. Leave the loop, and the call ends.

        What `requests` raises ends the call, and is raised to whoever waits for its answers.
        """
        path = wire.path(service, endpoint)
        encode, decode, content_type = self._codec(service, endpoint)
        sent = Requests([requests or {}] if requests is None or isinstance(requests, Mapping) else requests, encode)
        headers = self._metadata(service, content_type, metadata, timeout_s=timeout_s)
        stream = self._connection.stream(path, sent, metadata=headers, timeout_s=timeout_s)
        return Replies(sent.attach(stream), decode, sent)

    def invoke(
        self,
        service: str,
        endpoint: str,
        request: Message,
        returns: type[M],
        *,
        anonymous: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> M:
        """`call` for who has the messages' classes."""
        data = self.raw(service, endpoint, request.SerializeToString(), anonymous=anonymous, timeout_s=timeout_s)
        return returns.FromString(data)

    def raw(
        self, service: str, endpoint: str, request: bytes, *, anonymous: bool = False, timeout_s: float = TIMEOUT_S
    ) -> bytes:
        """`call` with serialized messages."""
        metadata = self._metadata(service, codec.PROTOBUF, anonymous=anonymous, timeout_s=timeout_s)
        return self._connection.unary(wire.path(service, endpoint), request, metadata=metadata, timeout_s=timeout_s)

    def invoke_stream(self, service: str, endpoint: str, requests: Iterable[Message], returns: type[M]) -> Replies[M]:
        """`stream` for who has the messages' classes. Another thread may close it."""
        encoded = (request.SerializeToString() for request in requests)
        metadata = self._metadata(service, codec.PROTOBUF)
        stream = self._connection.stream(wire.path(service, endpoint), encoded, metadata=metadata)
        return Replies(stream, returns.FromString)

    def services(self, name: str) -> list[registry_pb2.Service]:
        """Every version of a service as the registry has it, asked once. Raises NotFound."""
        from . import registry

        if name not in self._services:
            self._services[name] = registry.service(name, domain=self._domain(name), client=self)
        return self._services[name]

    def within(self, namespace: str) -> Client:
        """The same server and identity, another namespace."""
        twin = copy.copy(self)
        twin._target = dataclasses.replace(self._target, namespace=namespace)
        twin._services, twin._methods = {}, {}
        return twin

    def access_token(self) -> str:
        """The token that calls are made with; blank for nobody's."""
        return self._identity.access_token(self)

    def close(self) -> None:
        self._connection.close()

    def _domain(self, service: str) -> str:
        return home.DEFAULT_NAMESPACE if service in wire.PLATFORM_SERVICES else self.namespace

    def _metadata(
        self,
        service: str,
        content_type: str,
        extra: Mapping[str, str] | None = None,
        *,
        anonymous: bool = False,
        timeout_s: float | None = None,
    ) -> wire.Metadata:
        sent: dict[str, str | bytes] = {
            "x-content-type": content_type,
            "micro-namespace": self._domain(service),
            "micro-from-service": os.environ.get("MICRO_SERVICE_NAME") or "micro",
            "micro-trace-id": _trace_id(),
        }
        if timeout_s is not None:
            sent["timeout"] = str(int(timeout_s * 1e9))
        if not anonymous and (token := self._identity.access_token(self)):
            sent["authorization"] = f"Bearer {token}"
        for key, value in (extra or {}).items():
            sent[key.lower()] = value.encode() if key.lower().endswith("-bin") else value  # whose values are bytes
        return tuple(sent.items())

    def _codec(
        self, service: str, endpoint: str
    ) -> tuple[Callable[[Mapping[str, Any]], bytes], Callable[[bytes], dict[str, Any]], str]:
        """Protobuf where the registry knows the method's messages, JSON frames where it knows none of the service's."""
        methods = self._described(service)
        if not methods:
            return _to_json, _from_json, codec.JSON
        if endpoint not in methods:
            self._services.pop(service, None)
            self._methods.pop(service, None)
            methods = self._described(service)
        if endpoint not in methods:
            raise errors.Unimplemented(f"unknown service {endpoint}")
        return (*_protobuf(methods[endpoint]), codec.PROTOBUF)

    def _described(self, service: str) -> dict[str, MethodDescriptor]:
        """The service's methods by `Handler.Method`; none when the registry does not know them."""
        if service not in self._methods:
            try:
                found = next((known.descriptors for known in self.services(service) if known.descriptors), b"")
            except errors.NotFound:
                return {}
            self._methods[service] = methods_in(found)
        return self._methods[service]


class Requests(Iterator[bytes]):
    """The messages that a stream sends, encoded when gRPC's thread asks for them, which must not see them fail."""

    def __init__(self, requests: Iterable[Mapping[str, Any]], encode: Callable[[Mapping[str, Any]], bytes]) -> None:
        self._requests, self._encode = iter(requests), encode
        self._stream: channel.Stream | None = None
        self._is_attached = threading.Event()
        self.error: Exception | None = None

    def attach(self, stream: channel.Stream) -> channel.Stream:
        """Say which call these are the requests of."""
        self._stream = stream
        self._is_attached.set()
        return stream

    def __next__(self) -> bytes:
        try:
            return self._encode(next(self._requests))
        except StopIteration:
            raise
        except Exception as error:  # noqa: BLE001 - raised by Replies, in the thread of whom it concerns
            self.error = error
            self._is_attached.wait()
            if self._stream:
                self._stream.close()
            raise StopIteration from None


class Replies(Iterator[R]):
    """The messages of a stream, as they come."""

    def __init__(self, stream: channel.Stream, decode: Callable[[bytes], R], sent: Requests | None = None) -> None:
        self._stream, self._decode, self._sent = stream, decode, sent

    def __next__(self) -> R:
        try:
            reply = next(self._stream)
        except (errors.Error, StopIteration):
            if self._sent and self._sent.error:
                raise self._sent.error from None
            raise
        return self._decode(reply)

    def close(self) -> None:
        """End the call."""
        self._stream.close()


def _connection(target: home.Target, *, is_brief: bool) -> channel.Connection | web_calls.Connection:
    if is_brief:
        from .web_calls import Connection as Brief

        return Brief(target.address, ca=target.ca)
    from .channel import Connection

    return Connection(target.address, ca=target.ca)


@functools.cache
def default() -> Client:
    """The client of this process."""
    return Client()


def methods_in(descriptors: bytes) -> dict[str, MethodDescriptor]:
    """The methods that a serialized FileDescriptorSet describes, by `Handler.Method`; none for an unusable set."""
    from google.protobuf import descriptor_pb2, descriptor_pool
    from google.protobuf.message import DecodeError

    pool = descriptor_pool.DescriptorPool()
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
        for file in files:
            pool.Add(file)
        services = [service for file in files for service in pool.FindFileByName(file.name).services_by_name.values()]
    except (DecodeError, TypeError, KeyError):  # what protobuf raises for what services may tell of themselves
        return {}
    return {f"{service.name}.{method.name}": method for service in services for method in service.methods}


def _protobuf(
    method: MethodDescriptor,
) -> tuple[Callable[[Mapping[str, Any]], bytes], Callable[[bytes], dict[str, Any]]]:
    from google.protobuf import message_factory

    request = message_factory.GetMessageClass(method.input_type)
    reply = message_factory.GetMessageClass(method.output_type)

    def encode(fields: Mapping[str, Any]) -> bytes:
        return codec.from_dict(request, fields).SerializeToString()

    def decode(data: bytes) -> dict[str, Any]:
        return codec.to_dict(reply.FromString(data))

    return encode, decode


def _to_json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(fields)).encode()


def _from_json(data: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(data or b"{}")
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise errors.Internal("The answer is not a JSON object.", id="go.micro.client")
    return reply


def _trace_id() -> str:
    """The trace of the call being answered, else a new one."""
    from .context import Context

    context = Context.current()
    return (context and context.metadata.get("micro-trace-id")) or str(uuid.uuid4())
