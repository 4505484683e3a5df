"""Single calls by gRPC-web over HTTP/1.1, without grpcio: to import that takes longer than to make the call.

What this cannot do goes by grpcio, which then also says what is wrong: streams, proxies, servers whose TLS will not do,
and servers that speak no gRPC-web. No call is sent twice if the first may have been carried out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from functools import cached_property

from . import __version__, errors, http1, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ssl import SSLContext

    from . import channel

FEW = 4  # calls; who makes more is better off with grpcio's one connection for all
PROBE_S = 5.0
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")  # what grpcio looks at
HEADERS = {
    "content-type": "application/grpc-web+proto",
    "accept": "application/grpc-web+proto",
    "x-grpc-web": "1",
    "user-agent": f"micro/{__version__}",
}
NOT_METADATA = {"host", "connection", "content-length", "transfer-encoding", "te", "expect", "upgrade", "grpc-timeout"}
COMPRESSED, TRAILERS = 0x01, 0x80  # in the first byte of a frame


class NotSpoken(Exception):
    """Nothing was carried out: nobody is there, or somebody who does not speak gRPC-web."""


class Connection:
    """A `channel.Connection` for a process that makes a call or two, and then ends. Safe to share between threads."""

    def __init__(self, address: str, *, ca: str = "") -> None:
        """`ca` is the file of an authority to trust beside those that the system knows."""
        self.address, self._is_secure = wire.dialled(address)
        self._given, self._ca = address, ca
        self._left = 0 if self._is_behind_a_proxy() else FEW

    @cached_property
    def _channel(self) -> channel.Connection:
        from .channel import Connection

        self._left = 0
        return Connection(self._given, ca=self._ca)

    @cached_property
    def _tls(self) -> SSLContext | None:
        if not self._is_secure:
            return None
        import ssl

        context = ssl.create_default_context()
        if self._ca:
            context.load_verify_locations(self._ca)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def unary(self, path: str, request: bytes, *, metadata: wire.Metadata, timeout_s: float | None) -> bytes:
        if self._left > 0 and _fits(path, request, metadata):
            self._left -= 1
            try:
                return self._call(path, request, metadata, timeout_s)
            except NotSpoken:
                self._left = 0
        return self._channel.unary(path, request, metadata=metadata, timeout_s=timeout_s)

    def stream(
        self, path: str, requests: Iterable[bytes], *, metadata: wire.Metadata, timeout_s: float | None = None
    ) -> channel.Stream:
        return self._channel.stream(path, requests, metadata=metadata, timeout_s=timeout_s)

    def close(self) -> None:
        if "_channel" in self.__dict__:
            self._channel.close()

    def _is_behind_a_proxy(self) -> bool:
        return any(os.environ.get(name) for name in PROXIES) and not wire.is_loopback(self.address)

    def _call(self, path: str, request: bytes, metadata: wire.Metadata, timeout_s: float | None) -> bytes:
        headers = HEADERS | {name: str(value) for name, value in metadata}
        if timeout_s is not None:
            headers["grpc-timeout"] = f"{min(max(int(timeout_s * 1000), 1), 99_999_999)}m"
        try:
            answer = self._post(path, headers, b"\0" + len(request).to_bytes(4, "big") + request, timeout_s)
            if not _is_grpc(answer):
                raise self._stranger(answer.status)
            return _message(answer)
        except (http1.NotConnected, http1.NotHttp):
            raise NotSpoken from None
        except http1.Late:
            raise wire.from_status(errors.Status.DEADLINE_EXCEEDED, "Deadline Exceeded") from None
        except http1.TooLarge:
            text = f"Received message larger than max ({wire.MAX_MESSAGE_BYTES})"
            raise wire.from_status(errors.Status.RESOURCE_EXHAUSTED, text) from None
        except http1.Failed as failure:
            if isinstance(failure, http1.Closed) and not self._takes_http():
                raise NotSpoken from None
            raise errors.Unavailable(f"The connection to {self.address} was cut.") from None

    def _post(self, path: str, headers: http1.Headers, body: bytes, timeout_s: float | None) -> http1.Answer:
        try:
            tls = self._tls
        except OSError:  # an authority that cannot be read
            raise NotSpoken from None
        return http1.post(
            self.address,
            path,
            headers=headers,
            body=body,
            deadline=None if timeout_s is None else time.monotonic() + timeout_s,
            max_body_bytes=wire.MAX_MESSAGE_BYTES + http1.MAX_HEAD_BYTES,
            tls=tls,
        )

    def _takes_http(self) -> bool:
        """Whether the one who has closed the connection without a word may have understood what it was sent."""
        try:
            self._post("/", HEADERS, b"", PROBE_S)
        except (http1.Closed, http1.NotHttp):
            return False
        except http1.Failed:
            return True
        return True

    def _stranger(self, status: int) -> Exception:
        """What to raise for an answer that is none of gRPC's. A gateway's may mean that the call has got through."""
        if status >= 500 and status not in (501, 505):
            return errors.Unavailable(f"What answers at {self.address} is no micro server.")
        return NotSpoken()


def _fits(path: str, request: bytes, metadata: wire.Metadata) -> bool:
    """Whether HTTP/1.1 can carry it as it is; grpcio knows what to say of the rest."""
    texts = [path, *(text for pair in metadata for text in pair)]
    return (
        len(request) <= wire.MAX_MESSAGE_BYTES
        and " " not in path
        and all(isinstance(text, str) and text.isascii() and text.isprintable() for text in texts)
        and not any(name in NOT_METADATA or name in HEADERS or name.endswith("-bin") for name, _ in metadata)
    )


def _is_grpc(answer: http1.Answer) -> bool:
    return "grpc-status" in answer.headers or answer.headers.get("content-type", "").startswith("application/grpc")


def _message(answer: http1.Answer) -> bytes:
    """The one message of an answer. Raises the error that was raised there, and Cut."""
    messages, trailers = [], answer.headers
    for kind, data in _frames(answer.body):
        if kind & TRAILERS:
            trailers = http1.fields(data.decode("latin-1").split("\r\n"))
        elif kind & COMPRESSED:
            raise wire.from_status(errors.Status.INTERNAL, "The answer is compressed, which nobody asked for.")
        else:
            messages.append(data)
    if "grpc-status" not in trailers:
        raise http1.Cut
    if trailers["grpc-status"] != "0":
        raise _error(trailers)
    if len(messages) != 1:
        raise wire.from_status(errors.Status.INTERNAL, f"The answer has {len(messages)} messages instead of one.")
    return messages[0]


def _frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    while body:
        end = 5 + int.from_bytes(body[1:5], "big")
        if len(body) < 5 or len(body) < end:
            raise http1.Cut
        yield body[0], body[5:end]
        body = body[end:]


def _error(trailers: http1.Headers) -> errors.Error:
    from binascii import Error as NotBase64
    from binascii import a2b_base64
    from urllib.parse import unquote

    code = trailers["grpc-status"]
    status = errors.Status(int(code)) if code.isdecimal() and int(code) in set(errors.Status) else errors.Status.UNKNOWN
    packed = trailers.get(wire.STATUS_KEY, "")
    try:
        details = a2b_base64(packed + "=" * (-len(packed) % 4))
    except (NotBase64, ValueError):
        details = b""
    return wire.from_status(status, unquote(trailers.get("grpc-message", "")), ((wire.STATUS_KEY, details),))
