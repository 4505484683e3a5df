"""gRPC as Micro speaks it: where a path leads, how an address is dialled, and how an error travels.

Free of grpcio, which `micro.channel` has: a command that makes one call does without it.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import errors

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
MAX_DETAIL_BYTES = 2000  # an error travels in headers, thrice, once in base64; grpcio refuses some from 8 KB on
STATUS_KEY = "grpc-status-details-bin"
ERROR_TYPE = "type.googleapis.com/errors.Error"

Metadata = tuple[tuple[str, str | bytes], ...]


class Unreachable(errors.Unavailable):
    """Nobody answers at the server's address."""

    def __init__(self, address: str, why: str = "") -> None:
        super().__init__(why or f"Failed to connect to micro server at {address}")
        self.address = address


class Untrusted(Unreachable):
    """Somebody answers, but it cannot be made sure who: without TLS, or with a certificate that will not do."""


class NotMicro(Unreachable):
    """Somebody answers who speaks no gRPC: the pages, say, or another program on a port that was mistyped."""

    def __init__(self, address: str) -> None:
        super().__init__(address, f"What answers at {address} speaks no gRPC: name a server's proxy, as host:8081.")


# Each error class of the tree once, by its HTTP status and by its gRPC status.
_KINDS = [kind for kind in errors.Error.__subclasses__() if kind.__module__ == errors.__name__]
_BY_CODE = {kind.http: kind for kind in _KINDS}
_BY_STATUS = {kind.status: kind for kind in _KINDS}


def path(service: str, endpoint: str) -> str:
    """`/<service>.<Handler>/<Method>`. Raises InvalidArgument for an endpoint that is not `Handler.Method`.

    Raises NotFound for what can be no service's name.
    """
    if endpoint.startswith("/"):
        return endpoint
    handler, dot, method = endpoint.partition(".")
    if not (handler and dot and method) or "." in method or not _is_word(endpoint):
        raise errors.InvalidArgument(f'malformed method name: "{endpoint}"')
    if not _is_word(service):
        raise errors.NotFound(f"service {service}: route not found")
    return f"/{service}.{handler}/{method}" if service else f"/{handler}/{method}"


def _is_word(text: str) -> bool:
    """Whether it can be a part of a path."""
    return text.isascii() and text.isprintable() and not {" ", "/"} & set(text)


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
    import ipaddress

    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def to_status(error: errors.Error) -> tuple[errors.Status, str, Metadata]:
    """An error as it travels: gRPC status, Micro's JSON as the message, `errors.Error` in the details."""
    from http import HTTPStatus

    from .proto import errors_pb2, status_pb2

    error.detail = _fitting(error.detail)
    message = error.as_json()
    inner = errors_pb2.Error(id=error.id, code=error.http, detail=error.detail, status=HTTPStatus(error.http).phrase)
    details = status_pb2.Status(code=error.status, message=message)
    details.details.add(type_url=ERROR_TYPE, value=inner.SerializeToString())
    return error.status, message, ((STATUS_KEY, details.SerializeToString()),)


def _fitting(detail: str) -> str:
    """As much of a text as headers take, where a character that is not ASCII is six bytes or twelve."""
    import json

    def size_bytes(text: str) -> int:
        return len(json.dumps(text)) - 2 + 2 * (text.count("%") + text.count("\x7f"))

    if size_bytes(detail) <= MAX_DETAIL_BYTES:
        return detail
    left = MAX_DETAIL_BYTES
    for position, character in enumerate(detail):
        left -= size_bytes(character)
        if left < 0:
            return detail[:position]
    return detail


def from_status(status: errors.Status, text: str, trailers: Iterable[tuple[str, str | bytes]] = ()) -> errors.Error:
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
    from google.protobuf.message import DecodeError

    from .proto import errors_pb2, status_pb2

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
    import json

    try:
        fields = {str(key).lower(): value for key, value in json.loads(text).items()}
        code = int(fields["code"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return (str(fields.get("id", "")), code, str(fields.get("detail", ""))) if code > 0 else None
