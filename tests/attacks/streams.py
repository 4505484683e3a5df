"""Many requests at once on few connections, as HTTP/2 frames of our own making, and what a neighbour sees meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

HEADERS, SETTINGS = 1, 4
END_STREAM, END_HEADERS = 1, 4
GRPC = {"content-type": "application/grpc", "te": "trailers"}


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _field(name: str, value: str) -> bytes:
    """A header as HPACK writes one that it need not remember."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def opened(port: int, path: str, host: str, *, streams: int, has_ended: bool = True, **headers: str) -> socket.socket:
    """A connection on which as many requests have been sent; with `has_ended` off they say that a body follows."""
    fields = {":method": "POST" if headers else "GET", ":scheme": "http", ":path": path, ":authority": host}
    block = b"".join(_field(name.replace("_", "-"), value) for name, value in {**fields, **headers}.items())
    flags = END_HEADERS | (END_STREAM if has_ended else 0)
    sent = b"".join(_frame(HEADERS, flags, 1 + 2 * index, block) for index in range(streams))
    connection = socket.create_connection(("127.0.0.1", port), 20)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0) + sent)
    return connection


@contextlib.contextmanager
def flood(
    port: int, path: str, host: str, *, connections: int, streams: int = 100, **more: str
) -> Iterator[list[socket.socket]]:
    """As many connections with as many requests each, until the block ends. Nothing of the answers is read."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(opened(port, path, host, streams=streams, **more))  # type: ignore[arg-type]
            for _ in range(connections)
        ]


@dataclass
class Neighbour:
    """Asks for `path` again and again, each time on a new connection, and notes how long that takes."""

    port: int
    path: str
    took_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._over.is_set():
            started = time.monotonic()
            try:
                self._ask()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            self.took_s.append(time.monotonic() - started)
            self._over.wait(0.02)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=8)
        try:
            connection.request("GET", self.path)
            if (status := connection.getresponse().status) != 200:
                self.failures.append(str(status))
        finally:
            connection.close()
