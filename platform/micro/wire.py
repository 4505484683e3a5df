"""gRPC as Micro speaks it: where a path leads, how an address is dialled, and how an error travels."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from . import errors
from .proto import errors_pb2, status_pb2

PLATFORM_SERVICES = frozenset(
    {
        "api",
        "auth",
        "broker",
        "config",
        "events",
        "network",
        "proxy",
        "registry",
        "router",
        "runtime",
        "signup",
        "store",
    }
)
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_DETAIL_CHARACTERS = 3000  # an error travels in HTTP/2 headers, twice, and those end at 16 KB
STATUS_KEY = "grpc-status-details-bin"
ERROR_TYPE = "type.googleapis.com/errors.Error"

# What grpcio says when nobody has answered, and when somebody else has.
NOT_REACHED = (
    "ailed to connect",
    "DNS resolution failed",
    "errors resolving",
    "Name resolution",
    "Trying to connect an http1",
)
CUT = ("Stream removed", "Received RST_STREAM", "RST_STREAM")  # grpcio says so of calls whose other end has died
NOT_GRPC = "Received http2 header with status"
NO_TLS = "WRONG_VERSION_NUMBER"
CLOSED = ("Socket closed", "onnection reset")
# What it says when the other end's certificate will not do, and what that means; the first that fits.
_STRANGER = (
    "is signed by an authority that this machine does not know: if it is your own, name its file in MICRO_TLS_CA "
    "or with `micro env add NAME ADDRESS --ca FILE`"
)
CERTIFICATE = (
    ("certificate has expired", "has expired: its operator has to renew it"),
    ("certificate is not yet valid", "is not valid yet: look at this machine's clock"),
    ("Hostname Verification", "is for another name: reach it by the name that it has"),
    ("certificate signature failure", _STRANGER),
    ("CERTIFICATE_VERIFY_FAILED", _STRANGER),
)

Metadata = tuple[tuple[str, str | bytes], ...]


class Unreachable(errors.Unavailable):
    """Nobody answers at the server's address."""

    def __init__(self, address: str, why: str = "") -> None:
        super().__init__(why or f"Failed to connect to micro server at {address}")
        self.address = address


class Untrusted(Unreachable):
    """Somebody answers, but it cannot be made sure who: without TLS, or with a certificate that will not do."""


# Each error class of the tree once, by its HTTP status and by its gRPC status.
_KINDS = [kind for kind in errors.Error.__subclasses__() if kind.__module__ == errors.__name__]
_BY_CODE = {kind.http: kind for kind in _KINDS}
_BY_STATUS = {kind.status: kind for kind in _KINDS}


def path(service: str, endpoint: str) -> str:
    """`/<service>.<Handler>/<Method>`. Raises InvalidArgument for an endpoint that is not `Handler.Method`."""
    if endpoint.startswith("/"):
        return endpoint
    handler, dot, method = endpoint.partition(".")
    if not (handler and dot and method) or "." in method or "/" in endpoint:
        raise errors.InvalidArgument(f'malformed method name: "{endpoint}"')
    return f"/{service}.{handler}/{method}" if service else f"/{handler}/{method}"


class Connection:
    """Calls with encoded messages to one address. Safe to share between threads; dials at the first call."""

    def __init__(self, address: str, *, ca: str = "") -> None:
        """`ca` is the file of an authority to trust beside those that the system knows."""
        self.address, self._secure = dialled(address)
        self._ca = ca

    @cached_property
    def _channel(self) -> grpc.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
        if is_loopback(self.address):
            options.append(("grpc.enable_http_proxy", 0))
        if self._secure:
            return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(_roots(self._ca)), options)
        return grpc.insecure_channel(self.address, options)

    def unary(self, path: str, request: bytes, *, metadata: Metadata, timeout_s: float | None) -> bytes:
        call = self._channel.unary_unary(path, None, None)
        with self._translating():
            reply: bytes = call(request, timeout=timeout_s, metadata=metadata)
            return reply

    def stream(
        self, path: str, requests: Iterable[bytes], *, metadata: Metadata, timeout_s: float | None = None
    ) -> Stream:
        """Replies as they come. Every stream is opened in both directions, whatever the method declares."""
        call = self._channel.stream_stream(path, None, None)
        with self._translating():
            return Stream(call(iter(requests), timeout=timeout_s, metadata=metadata), self._translating)

    def close(self) -> None:
        if "_channel" in self.__dict__:
            self._channel.close()

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def _translated(self, error: grpc.RpcError) -> errors.Error:
        text = error.details() or ""
        if error.code() is grpc.StatusCode.UNAVAILABLE and any(sign in text for sign in NOT_REACHED):
            return self._not_trusted(text) or Unreachable(self.address)
        if text.startswith(CUT):
            return errors.Unavailable(f"The connection to {self.address} was cut.")
        if NOT_GRPC in text:
            return errors.Unavailable(f"What answers at {self.address} is no micro server.")
        return from_status(
            error.code(), text, tuple((item.key, item.value) for item in error.trailing_metadata() or ())
        )

    def _not_trusted(self, text: str) -> Untrusted | None:
        """What is wrong with the server's TLS, if that is why it was not reached."""
        if self._secure and (found := next((meaning for sign, meaning in CERTIFICATE if sign in text), None)):
            return Untrusted(self.address, f"The certificate of {self.address} {found}.")
        if self._secure and NO_TLS in text:
            return Untrusted(
                self.address, f"{self.address} does not speak TLS: if that is meant, say http://{self.address}."
            )
        if not self._secure and any(sign in text for sign in CLOSED):
            why = f"{self.address} closes the connection: if it speaks TLS, say https://{self.address}."
            return Untrusted(self.address, why)
        return None


class Stream(Iterator[bytes]):
    """The replies of a call under way. Whoever closes it, in whatever thread, ends the call."""

    def __init__(self, call: Any, translating: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._call, self._translating = call, translating

    def __next__(self) -> bytes:
        try:
            with self._translating():
                reply: bytes = next(self._call)
        except BaseException:
            self.close()
            raise
        return reply

    def close(self) -> None:
        self._call.cancel()

    def __del__(self) -> None:
        self.close()


def dialled(address: str) -> tuple[str, bool]:
    """`host:port`, and whether it takes TLS: with https://, on port 443, or when no port is given; not with http://."""
    secure, plain = address.startswith("https://"), address.startswith("http://")
    address = address.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return (f"{address}:80", False) if plain else (f"{address}:443", True)
    return f"{host or '127.0.0.1'}:{port}", secure or (port == "443" and not plain)


def is_loopback(address: str) -> bool:
    """Whether `host:port` is on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _roots(ca: str) -> bytes | None:
    """The authorities that may sign a server's certificate; None means those that come with grpcio.

    Raises InvalidArgument when the file of one's own cannot be read.
    """
    file = ssl.get_default_verify_paths().cafile  # or SSL_CERT_FILE
    system = Path(file).read_bytes() if file else None
    if not ca:
        return system
    try:
        ssl.create_default_context(cafile=ca)
        own = Path(ca).read_bytes()
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate in PEM"
        raise errors.InvalidArgument(f"The authority {ca} cannot be used: {why}.") from None
    return own + b"\n" + (system or b"")


def to_status(error: errors.Error) -> tuple[grpc.StatusCode, str, Metadata]:
    """An error as it travels: gRPC status, Micro's JSON as the message, `errors.Error` in the details."""
    error.detail = error.detail[:MAX_DETAIL_CHARACTERS]
    message = error.as_json()
    inner = errors_pb2.Error(id=error.id, code=error.http, detail=error.detail, status=HTTPStatus(error.http).phrase)
    details = status_pb2.Status(code=error.status.value[0], message=message)
    details.details.add(type_url=ERROR_TYPE, value=inner.SerializeToString())
    return error.status, message, ((STATUS_KEY, details.SerializeToString()),)


def from_status(status: grpc.StatusCode, text: str, trailers: Iterable[tuple[str, str | bytes]] = ()) -> errors.Error:
    """The error somebody raised: from the details, else from JSON in the message, else from the status alone."""
    found = _in_details(trailers) or _in_message(text)
    if found:
        id, code, detail = found
        return _BY_CODE.get(code, errors.Internal)(detail, id=id)
    return _BY_STATUS.get(status, errors.Internal)(text or status.name, id="go.micro.client")


def _in_details(trailers: Iterable[tuple[str, str | bytes]]) -> tuple[str, int, str] | None:
    data = next((value for key, value in trailers if key == STATUS_KEY), None)
    if not isinstance(data, bytes):
        return None
    try:
        for detail in status_pb2.Status.FromString(data).details:
            if detail.type_url.endswith("/errors.Error"):
                inner = errors_pb2.Error.FromString(detail.value)
                return inner.id, inner.code, inner.detail
    except DecodeError:
        return None
    return None


def _in_message(text: str) -> tuple[str, int, str] | None:
    """Micro 3.0 wrote the keys capitalised, later versions do not."""
    try:
        fields = {str(key).lower(): value for key, value in json.loads(text).items()}
        code = int(fields["code"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return (str(fields.get("id", "")), code, str(fields.get("detail", ""))) if code > 0 else None
