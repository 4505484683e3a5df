"""From a handler object to endpoints: methods over dataclasses, or a servicer on protoc's stubs."""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from types import NoneType
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from . import codec, docstrings
from .context import Context
from .schema import Mistake, Schema

STREAMS = (abc.Iterator, abc.Iterable, abc.Generator, abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator)


@dataclass
class Empty:
    """What a method takes or returns when it takes or returns nothing."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method that can be called, whatever it is written on."""

    name: str  # Handler.Method
    function: Callable[..., Any]
    request: type[Message]
    load: Callable[[Message], Any]
    dump: Callable[[Any], Message]
    streams_in: bool
    streams_out: bool
    arguments: Callable[[Any, Context, Any], tuple[Any, ...]]  # from the request, our context and gRPC's

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function) or inspect.isasyncgenfunction(self.function)

    def decode(self, data: bytes, as_json: bool) -> Any:
        return self.load(codec.decode(self.request, data, as_json=as_json))

    def encode(self, value: Any, as_json: bool) -> bytes:
        return codec.encode(self.dump(value), as_json=as_json)


@dataclass(frozen=True, slots=True)
class Signature:
    """How a method over dataclasses is called."""

    request: type
    response: type
    streams_in: bool
    streams_out: bool
    takes_request: bool
    takes_context: bool


# Methods over dataclasses.


def describe(handler: object, schema: Schema, name: str = "") -> tuple[str, dict[str, Signature]]:
    """Put the handler's methods into the schema: its service's full name, and each method's signature.

    Raises Mistake for a handler without methods, or one with a method that cannot be served.
    """
    name = name or type(handler).__name__
    public = [
        key for key, value in _members(handler) if callable(value) and not isinstance(value, type) and key[0] != "_"
    ]
    signatures = {key: signature(getattr(handler, key), f"{name}.{key}") for key in public}
    if not signatures:
        raise Mistake(f"{name} has no public method to serve.")
    methods = {camel(key): (s.request, s.response, s.streams_in, s.streams_out) for key, s in signatures.items()}
    said = {camel(key): docstrings.of_function(getattr(handler, key)) for key in signatures}
    return schema.add_service(name, methods, said | {"": docstrings.of_class(type(handler))}), signatures


def _members(handler: object) -> list[tuple[str, object]]:
    """Of the class and its bases, in the order they are written."""
    found: dict[str, object] = {}
    for base in reversed(type(handler).__mro__[:-1]):
        found |= vars(base)
    return list(found.items())


def camel(name: str) -> str:
    """`list_services` is served as `ListServices`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def signature(function: Callable[..., Any], where: str) -> Signature:
    """What a method takes and returns, from its annotations."""
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise Mistake(f"{where}: {error}; define the types it names at module level.") from None
    kinds = [hints.get(name) for name in inspect.signature(function).parameters]
    takes_context = bool(kinds) and kinds[-1] is Context
    requests = kinds[:-1] if takes_context else kinds
    if len(requests) > 1 or "return" not in hints:
        raise Mistake(
            f"{where}: every public method of a handler is an endpoint. Annotate it like "
            "`def call(self, request: Request, context: Context) -> Response`, or start its name with an underscore."
        )
    request, streams_in = _message(requests[0] if requests else NoneType, where)
    response, streams_out = _message(hints["return"], where)
    return Signature(request, response, streams_in, streams_out, bool(requests), takes_context)


def _message(hint: Any, where: str) -> tuple[type, bool]:
    """The dataclass behind an annotation, and whether there is a stream of it."""
    streams = typing.get_origin(hint) in STREAMS
    kind = typing.get_args(hint)[0] if streams else hint
    if kind is NoneType:
        return Empty, streams
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise Mistake(
            f"{where}: {kind!r} is not a dataclass. A method takes and returns dataclasses, or iterators of them."
        )
    return kind, streams


def over_dataclasses(
    handler: object, schema: Schema, signatures: Mapping[str, Signature], name: str = ""
) -> list[Endpoint]:
    """The endpoints of a handler that was described in `schema`, which has been built since."""
    name = name or type(handler).__name__
    return [_over_dataclass(getattr(handler, key), f"{name}.{camel(key)}", schema, s) for key, s in signatures.items()]


def _over_dataclass(function: Callable[..., Any], name: str, schema: Schema, signature: Signature) -> Endpoint:
    def load(message: Message) -> Any:
        return schema.load(signature.request, message)

    def dump(value: Any) -> Message:
        return schema.dump(Empty() if value is None and signature.response is Empty else value, signature.response)

    def arguments(request: Any, context: Context, _: Any) -> tuple[Any, ...]:
        return ((request,) if signature.takes_request else ()) + ((context,) if signature.takes_context else ())

    return Endpoint(
        name=name,
        function=function,
        request=schema.message_class(signature.request),
        load=load,
        dump=dump,
        streams_in=signature.streams_in,
        streams_out=signature.streams_out,
        arguments=arguments,
    )


# Servicers on protoc's stubs.


class _Recorder:
    """Stands where generated code expects a server, to learn which service a servicer implements."""

    def __init__(self) -> None:
        self.service = ""

    def add_generic_rpc_handlers(self, handlers: tuple[grpc.ServiceRpcHandler[Any, Any], ...]) -> None:
        self.service = str(handlers[0].service_name())

    def add_registered_method_handlers(self, service: str, _handlers: object) -> None:
        self.service = service


def stub_service(handler: object) -> ServiceDescriptor | None:
    """The service that a servicer implements; None for a handler that is not written on stubs."""
    for base in type(handler).__mro__:
        if add := getattr(sys.modules.get(base.__module__), f"add_{base.__name__}_to_server", None):
            recorder = _Recorder()
            add(handler, recorder)
            return descriptor_pool.Default().FindServiceByName(recorder.service)
    return None


def over_stubs(handler: object, service: ServiceDescriptor) -> list[Endpoint]:
    return [
        Endpoint(
            name=f"{service.name}.{method.name}",
            function=getattr(handler, method.name),
            request=message_factory.GetMessageClass(method.input_type),
            load=_same,
            dump=_same,
            streams_in=method.client_streaming,
            streams_out=method.server_streaming,
            arguments=_request_and_grpc_context,
        )
        for method in service.methods
    ]


def _request_and_grpc_context(request: Any, _: Context, grpc_context: Any) -> tuple[Any, ...]:
    return request, grpc_context


def _same(message: Any) -> Any:
    return message


def with_imports(files: list[FileDescriptor]) -> list[FileDescriptor]:
    """The files and everything they import, each once, imports first."""
    found: dict[str, FileDescriptor] = {}

    def visit(file: FileDescriptor) -> None:
        for needed in file.dependencies:
            visit(needed)
        found.setdefault(file.name, file)

    for file in files:
        visit(file)
    return list(found.values())


def package_of(service: str) -> str:
    """A proto package for a service's name: `foo-bar` becomes `foo_bar`, `foo.bar` stays."""
    parts = (re.sub(r"\W", "_", part, flags=re.ASCII) for part in service.split("."))
    return ".".join(f"_{part}" if part[:1].isdigit() else part for part in parts)
