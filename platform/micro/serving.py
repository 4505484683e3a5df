"""Endpoints on grpcio's server: paths, codecs, errors, health, reflection and the Debug handler."""

from __future__ import annotations

import asyncio
import logging
import resource
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor

from . import codec, errors, wire
from .channel import CODES
from .context import Context, current
from .handlers import Endpoint
from .proto import debug_pb2

log = logging.getLogger("micro")


class Router(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Finds the endpoint behind a path. Only what follows the last dot of the path's first part counts."""

    def __init__(self, name: str, statistics: Statistics) -> None:
        self._name = name
        self._statistics = statistics
        self._methods: dict[tuple[str, bool], grpc.RpcMethodHandler[Any, Any]] = {}
        self._handlers: set[str] = set()

    def add(self, endpoints: Iterable[Endpoint], *, full_name: str = "") -> None:
        """Under `Handler.Method`; with a full name only under that, so that a user's own Health handler may exist."""
        for endpoint in endpoints:
            handler, _, method = endpoint.name.rpartition(".")
            key = full_name or handler
            self._handlers.add(key)
            for as_json in (False, True):
                answer = Answer(endpoint, as_json, self._name, self._statistics)
                self._methods[f"{key}/{method}", as_json] = answer.method_handler()

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        as_json = codec.is_json(call.invocation_metadata or ())
        service, slash, method = (call.method or "").removeprefix("/").partition("/")
        if not (service and slash):
            return _refusal(grpc.StatusCode.INVALID_ARGUMENT, f'malformed method name: "{call.method}"')
        handler = service.rpartition(".")[2]
        for key in (service, handler):
            if found := self._methods.get((f"{key}/{method}", as_json)):
                return found
        unknown = f"{handler}.{method}" if handler in self._handlers else handler
        return _refusal(grpc.StatusCode.UNIMPLEMENTED, f"unknown service {unknown}")


def _refusal(status: grpc.StatusCode, text: str) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.abort(status, text)

    return grpc.stream_unary_rpc_method_handler(refuse)


class Statistics:
    """What this process has answered so far."""

    def __init__(self) -> None:
        self.started = time.time()
        self.requests = 0
        self.errors = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """How one endpoint is answered in one codec."""

    endpoint: Endpoint
    as_json: bool
    service: str
    statistics: Statistics

    def method_handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """One of gRPC's four kinds. grpcio runs what is not async in its thread pool."""
        kind = _KINDS[self.endpoint.streams_in, self.endpoint.streams_out]
        behaviours: dict[tuple[bool, bool], Callable[..., Any]] = {
            (True, False): self._unary_async,
            (True, True): self._stream_async,
            (False, False): self._unary,
            (False, True): self._stream,
        }
        handler: grpc.RpcMethodHandler[Any, Any] = kind(behaviours[self.endpoint.is_async, self.endpoint.streams_out])
        return handler

    async def _unary_async(self, request: Any, context: Any) -> bytes:
        try:
            return self._encoded(await self.endpoint.function(*self._arguments(request, context)))
        except Exception as error:
            await context.abort(*self._status(error))
            raise

    async def _stream_async(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            async for reply in self.endpoint.function(*self._arguments(request, context)):
                yield self._encoded(reply)
        except Exception as error:  # noqa: BLE001 - _status logs what is not ours to say
            await context.abort(*self._status(error))

    def _unary(self, request: Any, context: Any) -> bytes:
        try:
            return self._encoded(self.endpoint.function(*self._arguments(request, context)))
        except Exception as error:
            context.abort(*self._status(error))
            raise

    def _stream(self, request: Any, context: Any) -> Iterator[bytes]:
        try:
            for reply in self.endpoint.function(*self._arguments(request, context)):
                yield self._encoded(reply)
        except Exception as error:  # noqa: BLE001 - _status logs what is not ours to say
            context.abort(*self._status(error))

    def _encoded(self, reply: Any) -> bytes:
        return self.endpoint.encode(reply, self.as_json)

    def _arguments(self, request: Any, context: Any) -> tuple[Any, ...]:
        self.statistics.requests += 1
        metadata = {key.lower(): value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        metadata.pop("x-content-type", None)
        metadata.pop("timeout", None)
        ours = Context(metadata)
        current.set(ours)
        return self.endpoint.arguments(self._decoded(request), ours, context)

    def _decoded(self, request: Any) -> Any:
        if not self.endpoint.streams_in:
            return self.endpoint.decode(request, self.as_json)
        if self.endpoint.is_async:
            return (self.endpoint.decode(data, self.as_json) async for data in request)
        return (self.endpoint.decode(data, self.as_json) for data in request)

    def _status(self, error: Exception) -> tuple[grpc.StatusCode, str, wire.Metadata]:
        """What the caller is told. A handler that aborted the call itself has told already."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        self.statistics.errors += 1
        if not isinstance(error, errors.Error):
            log.error("%s failed", self.endpoint.name, exc_info=error)
            error = errors.Internal(str(error) or type(error).__name__)
        error.id = error.id or self.service
        status, text, trailers = wire.to_status(error)
        return CODES[status], text, trailers


_KINDS: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Debug:
    """Micro's own handler, which every service has."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    async def Health(self, _request: debug_pb2.HealthRequest, _context: object) -> debug_pb2.HealthResponse:
        return debug_pb2.HealthResponse(status="ok")

    async def Stats(self, _request: debug_pb2.StatsRequest, _context: object) -> debug_pb2.StatsResponse:
        now = time.time()
        return debug_pb2.StatsResponse(
            timestamp=int(now),
            started=int(self._statistics.started),
            uptime=int(now - self._statistics.started),
            memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            threads=threading.active_count(),
            requests=self._statistics.requests,
            errors=self._statistics.errors,
        )

    async def Log(self, _request: debug_pb2.LogRequest, _context: object) -> debug_pb2.LogResponse:
        raise errors.Unimplemented("The platform keeps a service's log: `micro logs NAME`.")

    async def Trace(self, _request: debug_pb2.TraceRequest, _context: object) -> debug_pb2.TraceResponse:
        raise errors.Unimplemented("This service keeps no traces.")


# grpc.health.v1, served by the framework's own means.


class ServingStatus(Enum):
    """As grpc.health.v1 numbers them."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


@dataclass
class HealthCheckRequest:
    """Blank asks for the whole process."""

    service: str = ""


@dataclass
class HealthCheckResponse:
    """How the service is."""

    status: ServingStatus = ServingStatus.UNKNOWN


class Health:
    """grpc.health.v1.Health. Serving from the start until the service is told to stop."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = {"", *services}
        self._stopping = asyncio.Event()

    def _stop(self) -> None:
        self._stopping.set()

    def _status(self, service: str) -> ServingStatus:
        if service not in self._services:
            return ServingStatus.SERVICE_UNKNOWN
        return ServingStatus.NOT_SERVING if self._stopping.is_set() else ServingStatus.SERVING

    async def check(self, request: HealthCheckRequest) -> HealthCheckResponse:
        status = self._status(request.service)
        if status is ServingStatus.SERVICE_UNKNOWN:
            raise errors.NotFound(f"There is no service {request.service!r} here.")
        return HealthCheckResponse(status)

    async def watch(self, request: HealthCheckRequest) -> AsyncIterator[HealthCheckResponse]:
        yield HealthCheckResponse(self._status(request.service))
        await self._stopping.wait()
        yield HealthCheckResponse(self._status(request.service))


# grpc.reflection.v1 and v1alpha, likewise. The numbers are the protocol's.


@dataclass
class ExtensionRequest:
    """An extension of a message; there are none here."""

    containing_type: str = ""
    extension_number: int = 0


@dataclass
class ServerReflectionRequest:
    """One question; the one that is set is meant."""

    host: str = ""
    file_by_filename: str | None = field(default=None, metadata={"number": 3})
    file_containing_symbol: str | None = field(default=None, metadata={"number": 4})
    file_containing_extension: ExtensionRequest | None = field(default=None, metadata={"number": 5})
    all_extension_numbers_of_type: str | None = field(default=None, metadata={"number": 6})
    list_services: str | None = field(default=None, metadata={"number": 7})


@dataclass
class FileDescriptorResponse:
    """Files, each as a serialized FileDescriptorProto."""

    file_descriptor_proto: list[bytes] = field(default_factory=list)


@dataclass
class ServiceResponse:
    """A service by its full name."""

    name: str = ""


@dataclass
class ListServiceResponse:
    """What is served here."""

    service: list[ServiceResponse] = field(default_factory=list)


@dataclass
class ErrorResponse:
    """A gRPC status code and its message."""

    error_code: int = 0
    error_message: str = ""


@dataclass
class ServerReflectionResponse:
    """One answer; the one that is set counts."""

    valid_host: str = ""
    original_request: ServerReflectionRequest | None = None
    file_descriptor_response: FileDescriptorResponse | None = field(default=None, metadata={"number": 4})
    list_services_response: ListServiceResponse | None = field(default=None, metadata={"number": 6})
    error_response: ErrorResponse | None = field(default=None, metadata={"number": 7})


class ServerReflection:
    """Answers what is served, and the descriptors of it."""

    def __init__(self) -> None:
        self._services: list[str] = []
        self._files: dict[str, FileDescriptor] = {}
        self._texts: dict[str, bytes] = {}

    def _add(self, services: Iterable[str], files: Iterable[FileDescriptor], texts: Mapping[str, bytes]) -> None:
        """Services in files; `texts` are those files, serialized with their comments, that have some."""
        self._services += services
        self._files |= {file.name: file for file in files}
        self._texts |= texts

    async def server_reflection_info(
        self, requests: AsyncIterator[ServerReflectionRequest]
    ) -> AsyncIterator[ServerReflectionResponse]:
        async for request in requests:
            reply = self._answer(request)
            reply.valid_host, reply.original_request = request.host, request
            yield reply

    def _answer(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        if request.list_services is not None:
            services = [ServiceResponse(name) for name in sorted(self._services)]
            return ServerReflectionResponse(list_services_response=ListServiceResponse(services))
        file = self._file(request)
        if file is None:
            return ServerReflectionResponse(error_response=ErrorResponse(5, "not found"))
        # Stock servers send what a file imports along with it.
        files = [file, *(needed for needed in _imports(file))]
        return ServerReflectionResponse(
            file_descriptor_response=FileDescriptorResponse([self._serialized(needed) for needed in files])
        )

    def _serialized(self, file: FileDescriptor) -> bytes:
        return self._texts.get(file.name, file.serialized_pb)

    def _file(self, request: ServerReflectionRequest) -> FileDescriptor | None:
        if request.file_by_filename is not None:
            return self._files.get(request.file_by_filename)
        symbol = request.file_containing_symbol or ""
        return next((file for file in self._files.values() if _declares(file, symbol)), None)


def _imports(file: FileDescriptor) -> list[FileDescriptor]:
    from .handlers import with_imports

    return [needed for needed in with_imports([file]) if needed.name != file.name]


def _declares(file: FileDescriptor, symbol: str) -> bool:
    """Whether the file declares this service, method, message (nested ones too) or enum."""
    prefix = f"{file.package}." if file.package else ""
    if not symbol.startswith(prefix):
        return False
    top, *rest = symbol.removeprefix(prefix).split(".")
    if service := file.services_by_name.get(top):
        return not rest or (len(rest) == 1 and rest[0] in service.methods_by_name)
    return top in file.message_types_by_name or (not rest and top in file.enum_types_by_name)
