"""Asking a replica on loopback whether it serves, and what it speaks."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2

from micro import reflecting

CONNECT_TIMEOUT_S = 0.5
ANSWER_TIMEOUT_S = 1.0
PAGE_TIMEOUT_S = 5.0  # a first page may take its time; asking again would only put another request behind this one
PATIENCE_S = 25.0  # so long may a request go unanswered while a server starts, before there is another
HEAR_OUT_S, LARGEST_PAGE_BYTES, LARGEST_HEAD_BYTES = 1.0, 256 << 10, 8 << 10

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: micro-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
_ENOUGH_BYTES = 9  # of a status line, and the whole of the smallest frame of HTTP/2
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ")
_HTTP1_ONLY = re.compile(rb"^server: .*(?:python/|gunicorn|uvicorn|waitress)", re.IGNORECASE | re.MULTILINE)
_SETTINGS, _GOAWAY = 4, 7  # the frames with which a server of HTTP/2 begins
_HEALTH = "/grpc.health.v1.Health/Check"
_OPTIONS = [*reflecting.CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True, slots=True)
class Ready:
    """It serves. `descriptors` is a serialized FileDescriptorSet, blank when the replica offers none.

    A `fault`, half a sentence, says why what it offers is left out.
    """

    protocol: str
    descriptors: bytes = b""
    fault: str = ""


class Probe:
    """The asking of one replica, from its start to its first answer; without `protocol` what it speaks is found out.

    That somebody listens is not enough: a server of several processes listens before any of them can work. And many a
    server logs all that it hears, for its user to read. So a stranger is asked what any client would ask; a gRPC server
    answers that with frames of HTTP/2, or closes, and logs neither. HTTP/2's own opening words come second, once, and
    only to servers that may speak both.
    """

    def __init__(self, protocol: str = "") -> None:
        self._protocol = protocol
        self._is_http2 = False
        self._asked: _Exchange | None = None  # the request that a server has accepted and not answered yet

    def ask(self, host: str, port: int) -> Ready | None:
        """What answers at the port, None while nothing does. By one thread at a time."""
        if self._protocol == "http":
            return _http(host, port)
        if self._protocol == "grpc":
            return _grpc(host, port, is_known=True) if _listens(host, port) else None
        ready = self._find_out(host, port)
        self._protocol = ready.protocol if ready else ""
        return ready

    def _find_out(self, host: str, port: int) -> Ready | None:
        if not self._is_http2:
            page = self._page(host, port)
            if page is None:
                return None
            if _is_http1_only(page):
                return Ready("http")
            self._is_http2 = _is_http2(page) or _is_http2(_answer(host, port, _PREFACE, within_s=ANSWER_TIMEOUT_S))
            if not self._is_http2:
                return Ready("http") if _STATUS_LINE.match(page) else None
        return _grpc(host, port, is_known=False)

    def _page(self, host: str, port: int) -> bytes | None:
        """What a request is answered with, blank when the connection is closed at once; None while there is no answer.

        The request stays asked from one call to the next: each further one would be a line in the server's log, too.
        """
        asked = self._asked
        try:
            exchange = asked or _Exchange(socket.create_connection((host, port), CONNECT_TIMEOUT_S), _REQUEST)
        except OSError:
            return None
        is_over = exchange.listen(ANSWER_TIMEOUT_S)
        self._asked = None if is_over or exchange.age_s > PATIENCE_S else exchange
        if not is_over or (asked and not exchange.answer):  # it was closed by whoever ended meanwhile
            return None
        return exchange.answer


class _Exchange:
    """Words that were sent on a connection of their own, and the beginning of what comes back."""

    def __init__(self, connection: socket.socket, words: bytes) -> None:
        self.answer = b""
        self._connection, self._began = connection, time.monotonic()
        with contextlib.suppress(OSError):  # it is closed already, as `listen` will find
            connection.sendall(words)

    def __del__(self) -> None:
        self._connection.close()  # whoever gives up a replica need not know that something is asked

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._began

    def listen(self, within_s: float) -> bool:
        """Whether the answer is over, or as much of it there as tells what it is. A page is taken whole."""
        deadline = time.monotonic() + within_s
        try:
            while len(self.answer) < _ENOUGH_BYTES:
                self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
                if not (more := self._connection.recv(_ENOUGH_BYTES - len(self.answer))):
                    return True
                self.answer += more
        except TimeoutError:
            return False
        except OSError:
            return True
        if _STATUS_LINE.match(self.answer):
            self.answer += _hear_out(self._connection)
        return True


def _http(host: str, port: int) -> Ready | None:
    """Any status will do: whoever says "not found" is at work."""
    return Ready("http") if _STATUS_LINE.match(_answer(host, port, _REQUEST, within_s=PAGE_TIMEOUT_S)) else None


def _grpc(host: str, port: int, *, is_known: bool) -> Ready | None:
    """What speaks HTTP/2 there: gRPC, or plain HTTP/2 unless it `is_known` to be gRPC."""
    with grpc.insecure_channel(f"{host}:{port}", options=_OPTIONS) as channel:
        health = _health(channel)
        if health is None:
            return None
        if not health and not is_known:
            return Ready("http")
        try:
            return Ready("grpc", reflecting.describe(channel))
        except reflecting.Excessive as excess:
            return Ready("grpc", fault=str(excess))


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _answer(host: str, port: int, words: bytes, *, within_s: float) -> bytes:
    """The beginning of what comes back on `words`; blank when nobody is there or nothing comes."""
    try:
        exchange = _Exchange(socket.create_connection((host, port), CONNECT_TIMEOUT_S), words)
    except OSError:
        return b""
    exchange.listen(within_s)
    return exchange.answer


def _hear_out(connection: socket.socket) -> bytes:
    """Take the rest of a page, and return its beginning.

    Who is left in the middle of one complains in its log, which is its user's to read.
    """
    deadline = time.monotonic() + HEAR_OUT_S
    head, left = b"", LARGEST_PAGE_BYTES
    with contextlib.suppress(OSError):
        while left > 0 and (seconds := deadline - time.monotonic()) > 0:
            connection.settimeout(seconds)
            if not (more := connection.recv(left)):
                break
            left -= len(more)
            head += more[: LARGEST_HEAD_BYTES - len(head)]
    return head


def _is_http1_only(page: bytes) -> bool:
    """Whether a page comes from a server that speaks no HTTP/2 in clear text, as its version or its name tells."""
    head = page.partition(b"\r\n\r\n")[0]
    return head.startswith(b"HTTP/1.0 ") or _HTTP1_ONLY.search(head) is not None


def _is_http2(answer: bytes) -> bool:
    """Whether an answer begins with a frame of HTTP/2 as servers send it first."""
    return len(answer) == _ENOUGH_BYTES and answer[0] == 0 and answer[3] in {_SETTINGS, _GOAWAY}


def _health(channel: grpc.Channel) -> bool | None:
    """True when it serves (or has no health service), None when it does not yet, False when it speaks no gRPC."""
    check = channel.unary_unary(
        _HEALTH,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = check(health_pb2.HealthCheckRequest(), timeout=ANSWER_TIMEOUT_S)
    except grpc.RpcError as error:
        return _judge(error)
    return True if answer.status == health_pb2.HealthCheckResponse.SERVING else None


def _judge(error: grpc.RpcError) -> bool | None:
    if "http2 header with status" in (error.details() or ""):
        return False
    away = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    return None if error.code() in away else True
