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
HEAR_OUT_S, LARGEST_PAGE_BYTES = 1.0, 256 << 10

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: micro-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
_ENOUGH_BYTES = 9  # of a status line, and the whole of the smallest frame of HTTP/2
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ")
_SETTINGS = 4
_HEALTH = "/grpc.health.v1.Health/Check"
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True, slots=True)
class Ready:
    """It serves. `descriptors` is a serialized FileDescriptorSet, blank when the replica offers none."""

    protocol: str
    descriptors: bytes = b""


def probe(host: str, port: int, *, protocol: str = "") -> Ready | None:
    """What answers at the port, None while nothing does. Without `protocol` it is found out.

    That somebody listens is not enough: a server of several processes listens before any of them can work.
    """
    if protocol == "http":
        return _http(host, port)
    if protocol == "grpc":
        return _grpc(host, port, is_known=True) if _listens(host, port) else None
    answer = _answer(host, port, _PREFACE, within_s=ANSWER_TIMEOUT_S)
    if _is_http2(answer):
        return _grpc(host, port, is_known=False)
    return Ready("http") if _STATUS_LINE.match(answer) else _http(host, port)


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
        return Ready("grpc", reflecting.describe(channel))


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _answer(host: str, port: int, words: bytes, *, within_s: float) -> bytes:
    """The first bytes that come back on `words`; fewer when the connection or the time ends before."""
    answer = b""
    deadline = time.monotonic() + within_s
    with contextlib.suppress(OSError), socket.create_connection((host, port), CONNECT_TIMEOUT_S) as connection:
        connection.sendall(words)
        while len(answer) < _ENOUGH_BYTES and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not (more := connection.recv(_ENOUGH_BYTES - len(answer))):
                break
            answer += more
        if _STATUS_LINE.match(answer):
            _hear_out(connection)
    return answer


def _hear_out(connection: socket.socket) -> None:
    """Take the rest of a page: who is left in the middle of one complains in its log, which is its user's to read."""
    deadline = time.monotonic() + HEAR_OUT_S
    left = LARGEST_PAGE_BYTES
    while left > 0 and (seconds := deadline - time.monotonic()) > 0:
        connection.settimeout(seconds)
        if not (more := connection.recv(left)):
            return
        left -= len(more)


def _is_http2(answer: bytes) -> bool:
    """Whether the first frame that came back on HTTP/2's opening words is HTTP/2's."""
    return len(answer) == _ENOUGH_BYTES and answer[3] == _SETTINGS and not answer.startswith(b"HTTP")


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
