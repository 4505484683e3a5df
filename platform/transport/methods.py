"""The table of a service's methods: plain asynchronous functions that know nothing of the server beneath."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from google.protobuf.message import Message

from micro.errors import Unimplemented

from .callers import ANY_ACCOUNT, ANYONE, Caller, Scope

__all__ = ["ANYONE", "ANY_ACCOUNT", "Caller", "Kind", "Method", "MethodWithoutScope", "Methods"]
__all__ += ["bidi", "client_stream", "refuse", "require_scopes", "server_stream", "unary"]

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Kind(Enum):
    """Which side sends more than one message."""

    UNARY = auto()
    SERVER_STREAM = auto()
    CLIENT_STREAM = auto()
    BIDI = auto()


@dataclass(frozen=True, slots=True)
class Method:
    """A function of (message or messages, caller), what goes in and out, and who may call it."""

    kind: Kind
    function: Callable[[Any, Caller], Any]
    request: type[Message]
    response: type[Message]
    scope: Scope | None
    then: type[Message] | None = None  # what the messages after the first are, when they differ from it


Methods = Mapping[str, Method]  # by "Handler.Method"


class MethodWithoutScope(RuntimeError):
    """A method does not say who may call it; a process that mounts it must not start."""


def unary(
    function: Callable[[Request, Caller], Awaitable[Response]],
    *,
    request: type[Request],
    response: type[Response],
    scope: Scope | None = None,
) -> Method:
    """One message in, one out."""
    return Method(Kind.UNARY, function, request, response, scope)


def server_stream(
    function: Callable[[Request, Caller], AsyncIterator[Response]],
    *,
    request: type[Request],
    response: type[Response],
    scope: Scope | None = None,
) -> Method:
    """One message in, many out. The caller need not close its side, and may."""
    return Method(Kind.SERVER_STREAM, function, request, response, scope)


def client_stream(
    function: Callable[[AsyncIterator[Request], Caller], Awaitable[Response]],
    *,
    request: type[Request],
    response: type[Response],
    scope: Scope | None = None,
) -> Method:
    """Many messages in, one out."""
    return Method(Kind.CLIENT_STREAM, function, request, response, scope)


def bidi(
    function: Callable[[AsyncIterator[Any], Caller], AsyncIterator[Response]],
    *,
    request: type[Message],
    response: type[Response],
    scope: Scope | None = None,
    then: type[Message] | None = None,
) -> Method:
    """Many messages in, many out, in any order. With `then`, messages after the first are of that type."""
    return Method(Kind.BIDI, function, request, response, scope, then)


def refuse(why: str) -> Callable[[Message, Caller], Awaitable[Any]]:
    """What a unary method does that the contract has and that has no meaning here: it is UNIMPLEMENTED, and why."""

    async def refusing(_request: Message, _caller: Caller) -> Any:
        raise Unimplemented(why)

    return refusing


def require_scopes(services: Mapping[str, Methods]) -> None:
    """Raises MethodWithoutScope, naming every method of `services` (tables by service name) that states no scope."""
    bare = [
        f"{service}.{name}"
        for service, methods in services.items()
        for name, method in methods.items()
        if method.scope is None
    ]
    if bare:
        raise MethodWithoutScope(f"Without a scope: {', '.join(bare)}.")
