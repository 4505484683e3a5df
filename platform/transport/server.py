"""Tables of methods on grpcio's asyncio server. Nothing above this file touches grpcio."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from functools import lru_cache
from typing import Any, NoReturn

import grpc
import grpc.aio
from django.conf import settings

from micro.errors import Unauthenticated

from . import codec, threads
from .addresses import network
from .callers import PLATFORM_NAMESPACE, Account, Caller
from .counting import Streams
from .failures import failure
from .methods import Kind, Method, Methods, require_scopes
from .statistics import Statistics

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # Above 1,000 calls that wait to be taken grpcio cancels some at random: too few when thousands of streams return.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 30_000),
)
MAX_TIMEOUT_DIGITS = 18  # some thirty years; longer is no limit at all
HIDDEN = frozenset({"authorization", "x-content-type", "timeout", "user-agent"})

Identify = Callable[[str], Awaitable[Account]]  # a token's account; raises Unauthenticated
Permit = Callable[[Account | None, str, str], None]  # of service and endpoint; raises what the caller is refused with
MostStreams = Callable[[str], int]  # that a namespace may have open at a time
Context = grpc.aio.ServicerContext[Any, Any]

_PATH = re.compile(r"/(?P<service>[^/]+)/(?P<method>[^/]+)", re.DOTALL)


class Server(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """The methods of some services, by service name, mounted on a grpcio server.

    Refuses (MethodWithoutScope) a table with a method that states no scope. What the `hashing` methods do in threads is
    done in threads of their own.
    """

    def __init__(
        self,
        services: Mapping[str, Methods],
        *,
        identify: Identify,
        permit: Permit = lambda _account, _service, _endpoint: None,
        statistics: Statistics | None = None,
        hashing: Collection[str] = (),
        most_streams: MostStreams = lambda _namespace: settings.MICRO_DEFAULT_STREAMS,
    ) -> None:
        require_scopes(services)
        self._services = services
        self._identify = identify
        self._permit = permit
        self._statistics = statistics or Statistics()
        self._hashing = hashing
        self._most_streams = most_streams
        self._streams = Streams(processes=settings.MICRO_SIDECAR_PROCESSES)
        self._handlers = {
            f"{service}.{endpoint}": self._handler(f"{service}.{endpoint}", method)
            for service, methods in services.items()
            for endpoint, method in methods.items()
        }
        self._name = lru_cache(maxsize=4096)(self._find)

    def mount(self, server: grpc.aio.Server) -> None:
        """Answer every path that handlers mounted earlier do not."""
        server.add_generic_rpc_handlers((self,))

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of a path; paths that lead nowhere have one that says so."""
        try:
            return self._handlers[self._name(details.method)]
        except _NoSuchMethod as error:
            return _refusing(error.code, error.text)

    def _find(self, path: str) -> str:
        """The method that a path means, as `service.Handler.Method`.

        Only what follows the last dot of the path's second part counts; what stands before it decides between two
        services that have handlers of the same name.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise _NoSuchMethod(grpc.StatusCode.INVALID_ARGUMENT, f'malformed method name: "{path}"')
        prefix, _, handler = match["service"].rpartition(".")
        endpoint = f"{handler}.{match['method']}"
        owners = [
            name for name, methods in self._services.items() if any(key.startswith(f"{handler}.") for key in methods)
        ]
        if not owners:
            raise _NoSuchMethod(grpc.StatusCode.UNIMPLEMENTED, f"unknown service {handler}")
        owner = prefix if prefix in owners else owners[0]
        if endpoint not in self._services[owner]:
            raise _NoSuchMethod(grpc.StatusCode.UNIMPLEMENTED, f"unknown service {endpoint}")
        return f"{owner}.{endpoint}"

    def _handler(self, name: str, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        if method.kind is Kind.UNARY:

            async def answer_one(payload: bytes, context: Context) -> bytes:
                return await self._unary(name, method, payload, context)

            return grpc.unary_unary_rpc_method_handler(answer_one)

        # Micro's clients open every stream as a bidirectional one, whatever the proto says.
        async def answer(payloads: AsyncIterator[bytes], context: Context) -> None:
            await self._stream(name, method, payloads, context)

        return grpc.stream_stream_rpc_method_handler(answer)

    async def _unary(self, name: str, method: Method, payload: bytes, context: Context) -> bytes:
        self._statistics.requests += 1
        try:
            metadata = _metadata(context)
            as_json = codec.is_json(metadata.get("x-content-type", ""))
            caller = await self._caller(metadata, name, method)
            async with _deadline(metadata):
                response = await method.function(codec.decode(payload, method.request, as_json=as_json), caller)
            return codec.encode(response, as_json=as_json)
        except Exception as exception:  # noqa: BLE001 - the edge: everything becomes a status here
            await self._fail(exception, name, context)

    async def _stream(self, name: str, method: Method, payloads: AsyncIterator[bytes], context: Context) -> None:
        self._statistics.requests += 1
        try:
            metadata = _metadata(context)
            as_json = codec.is_json(metadata.get("x-content-type", ""))
            caller = await self._caller(metadata, name, method)
            requests = _decoded(payloads, method, as_json=as_json)
            with self._one_more(caller):
                async with _deadline(metadata), aclosing(_run(method, requests, caller)) as responses:
                    async for response in responses:
                        await context.write(codec.encode(response, as_json=as_json))
        except Exception as exception:  # noqa: BLE001 - the edge: everything becomes a status here
            await self._fail(exception, name, context)

    def _one_more(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a stream, whatever it is about, for its caller and the caller's own namespace."""
        most = self._most_streams(caller.account.issuer if caller.account else "")
        return self._streams.one_more(caller.account, most=most, address=caller.address)

    async def _caller(self, metadata: Mapping[str, str], name: str, method: Method) -> Caller:
        """Who calls, once the rules and the method's scope have let them in."""
        account = await self._account(metadata.get("authorization"))
        service, _, endpoint = name.partition(".")
        self._permit(account, service, endpoint)
        namespace = metadata.get("micro-namespace") or (account.issuer if account else PLATFORM_NAMESPACE)
        visible = {key: value for key, value in metadata.items() if key not in HIDDEN}
        caller = Caller(account=account, namespace=namespace, metadata=visible)
        threads.whose.set(f"namespace {account.issuer}" if account else f"address {network(caller.address)}")
        threads.hashes.set(name in self._hashing)
        if method.scope is None:
            raise AssertionError("require_scopes let a method without a scope pass")
        method.scope(caller)
        return caller

    async def _account(self, authorization: str | None) -> Account | None:
        if authorization is None:
            return None
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer":
            raise Unauthenticated("invalid authorization header. expected Bearer schema")
        return await self._identify(token.strip())

    async def _fail(self, exception: Exception, name: str, context: Context) -> NoReturn:
        self._statistics.errors += 1
        code, message, trailers = failure(exception, id=name)
        await context.abort(code, message, trailers)


class _NoSuchMethod(Exception):
    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def _refusing(code: grpc.StatusCode, text: str) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler for unary and streaming calls alike; the CLI of Micro knows these texts, so they are not JSON."""

    async def refuse(_payloads: AsyncIterator[bytes], context: Context) -> None:
        await context.abort(code, text)

    return grpc.stream_stream_rpc_method_handler(refuse)


async def _run(method: Method, requests: AsyncIterator[Any], caller: Caller) -> AsyncGenerator[Any, None]:
    """The method's responses, whichever sides stream."""
    if method.kind is Kind.CLIENT_STREAM:
        yield await method.function(requests, caller)
        return
    source = requests if method.kind is Kind.BIDI else await anext(requests, None)
    async with aclosing(method.function(method.request() if source is None else source, caller)) as responses:
        async for response in responses:
            yield response


async def _decoded(payloads: AsyncIterator[bytes], method: Method, *, as_json: bool) -> AsyncGenerator[Any, None]:
    message_type = method.request
    async for payload in payloads:
        yield codec.decode(payload, message_type, as_json=as_json)
        message_type = method.then or method.request


def _metadata(context: Context) -> dict[str, str]:
    """The call's metadata with text values; of a repeated key the first counts."""
    metadata: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            metadata.setdefault(key, value)
    return metadata


def _deadline(metadata: Mapping[str, str]) -> Any:
    """The limit that `timeout` (nanoseconds) sets; gRPC's own deadline is grpcio's business."""
    nanoseconds = metadata.get("timeout", "")
    if nanoseconds.isdecimal() and len(nanoseconds) <= MAX_TIMEOUT_DIGITS and int(nanoseconds) > 0:
        return asyncio.timeout(int(nanoseconds) / 1e9)
    return nullcontext()
