"""One request over HTTP/1.1, and its answer. The standard library's client imports TLS and an e-mail parser for it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ssl import SSLContext

MAX_HEAD_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
PROTOCOL = b"HTTP/1."

Headers = dict[str, str]


class Failed(Exception):
    """There is no answer; each way in which that comes about is a class of its own."""


class NotConnected(Failed):
    """Nothing was sent: nobody listens there, or nobody whom the certificate makes known."""


class Closed(Failed):
    """The connection ended before the first byte of an answer."""


class NotHttp(Failed):
    """What came is no answer of HTTP/1."""


class Cut(Failed):
    """An answer began, and ended too early or made no sense."""


class TooLarge(Failed):
    """The answer is larger than its limit."""


class Late(Failed):
    """The time was over."""


class Answer:
    """Status, headers (and what was sent as trailers) by their names in lower case, and body."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


def post(  # noqa: PLR0913 - keywords
    address: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    deadline: float | None,
    max_body_bytes: int,
    tls: SSLContext | None = None,
) -> Answer:
    """The answer of `host:port` by `deadline` (of time.monotonic). Raises Failed.

    Names and values of headers must be ASCII without line breaks.
    """
    head = [f"POST {path} HTTP/1.1", f"host: {address}", "connection: close", f"content-length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    with _connected(address, deadline, tls) as connection:
        with contextlib.suppress(OSError):  # it may have answered all the same, and that says why
            connection.settimeout(_left_s(deadline))
            connection.sendall("\r\n".join([*head, "", ""]).encode("ascii") + body)
        return _Reading(connection, deadline).answer(max_body_bytes)


def _connected(address: str, deadline: float | None, tls: SSLContext | None) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    name = host.encode() if host.isascii() else host  # of text Python would make IDNA, which takes long to import
    try:
        connection = socket.create_connection((name, int(port)), _left_s(deadline))  # type: ignore[arg-type]
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_left_s(deadline))
        return tls.wrap_socket(connection, server_hostname=host) if tls else connection
    except (OSError, ValueError, OverflowError) as error:  # also a name or a port that can be none
        _left_s(deadline)
        raise NotConnected(str(error)) from None


class _Reading:
    """An answer as it comes."""

    def __init__(self, connection: socket.socket, deadline: float | None) -> None:
        self._connection, self._deadline = connection, deadline
        self._buffer = b""
        self._has_begun = False

    def answer(self, max_body_bytes: int) -> Answer:
        status, headers = self._head()
        while status < 200:
            status, headers = self._head()
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = b"".join(self._chunks(max_body_bytes, headers))
        elif "content-length" in headers:
            body = self._exactly(_length(headers["content-length"], 10, max_body_bytes))
        else:
            body = self._rest(max_body_bytes)
        return Answer(status, headers, body)

    def _head(self) -> tuple[int, Headers]:
        while not self._buffer.startswith(PROTOCOL):
            if not PROTOCOL.startswith(self._buffer):
                raise NotHttp
            self._buffer += self._received()
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = first.split(" ")[1] if " " in first else ""
        if not (status.isdecimal() and len(status) == 3):
            raise NotHttp(first)
        return int(status), fields(lines)

    def _chunks(self, max_bytes: int, headers: Headers) -> Iterator[bytes]:
        """The body's parts; what stands behind them as trailers is added to the headers."""
        while True:
            size = _length(self._until(b"\r\n").partition(b";")[0].decode("latin-1"), 16, max_bytes)
            max_bytes -= size
            if size == 0:
                break
            yield self._exactly(size)
            if self._exactly(2) != b"\r\n":
                raise Cut
        while line := self._until(b"\r\n"):
            headers.update(fields([line.decode("latin-1")]))

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise TooLarge
            self._buffer += self._received()
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        parts, missing = [self._buffer[:size]], size - len(self._buffer)
        self._buffer = self._buffer[size:]
        while missing > 0:
            part = self._received()
            parts.append(part[:missing])
            self._buffer = part[missing:]
            missing -= len(part)
        return b"".join(parts)

    def _rest(self, limit: int) -> bytes:
        parts, size = [self._buffer], len(self._buffer)
        while size <= limit:
            part = self._received(may_end=True)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
        raise TooLarge

    def _received(self, *, may_end: bool = False) -> bytes:
        try:
            self._connection.settimeout(_left_s(self._deadline))
            data = self._connection.recv(READ_BYTES)
        except TimeoutError:
            raise Late from None
        except OSError:
            data, may_end = b"", False
        if not data and not may_end:
            raise Cut if self._has_begun else Closed
        self._has_begun = True
        return data


def _left_s(deadline: float | None) -> float | None:
    """How long is left; raises Late when nothing is."""
    if deadline is None:
        return None
    if (left := deadline - time.monotonic()) <= 0:
        raise Late
    return left


def fields(lines: list[str]) -> Headers:
    """Header lines by their names in lower case."""
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def _length(text: str, base: int, limit: int) -> int:
    digits = text.strip().lower()
    if not digits or not all(character in "0123456789abcdef"[:base] for character in digits) or len(digits) > 20:
        raise Cut
    if int(digits, base) > limit:
        raise TooLarge
    return int(digits, base)
