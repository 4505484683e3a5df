"""HTTP for `micro service --endpoint exec:`: a request's body goes into a program, what it prints comes out."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Mapping
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from urllib.parse import unquote

from micro.file_server import Server

from .programs import Program, Refusal

JSON, TEXT = "application/json", "text/plain; charset=utf-8"
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_LINE_BYTES, MAX_TRAILERS = 8 * 1024, 100
SILENCE_S, LINGER_S = 60, 2.0
AGAIN_S = "1"
_LENGTH = re.compile(r"\s*0*([0-9]{1,18})\s*")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(;.*)?\r?\n", re.DOTALL)


class Handler(BaseHTTPRequestHandler):
    """Every request runs the program once. `service` is the name under which it is called."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = SILENCE_S
    program: Program
    service: str

    def answer(self) -> None:
        """Run the program, and send what came of it."""
        try:
            require_no_other_site(self.headers)
            body = read_body(self.headers, self.rfile)
        except Refusal as refusal:  # where the next request begins is not known then
            self._refuse(refusal, {"Connection": "close"})
            self._hang_up()
            return
        try:
            printed = self.program.run(body, about(self.command, self.path, self.headers, body))
        except Refusal as refusal:
            is_crowded = refusal.status == HTTPStatus.SERVICE_UNAVAILABLE
            self._refuse(refusal, {"Retry-After": AGAIN_S} if is_crowded else {})
        else:
            self._send(HTTPStatus.OK, kind_of(printed), printed, {})

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the gateway knows who asked for what."""

    def _refuse(self, refusal: Refusal, headers: Mapping[str, str]) -> None:
        self._send(refusal.status, JSON, refusal.document(self.service), headers)

    def _send(self, status: HTTPStatus, kind: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self) -> None:
        """Take for a moment what is still being sent: who sends it would lose the answer to a closed connection."""
        deadline = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_S)
            while time.monotonic() < deadline and self.rfile.read1(MAX_LINE_BYTES):
                pass


class ProgramServer(Server):
    """Listens as soon as it is made; what runs ends when it is closed. Raises OSError where it may not listen."""

    def __init__(self, program: Program, service: str, host: str, port: int) -> None:
        self._program = program
        super().__init__(host, port, type("ProgramHandler", (Handler,), {"program": program, "service": service}))

    def server_close(self) -> None:
        """Take no connections any more, and end the program wherever it runs."""
        super().server_close()
        self._program.close()


def require_no_other_site(headers: Message) -> None:
    """Raises Refusal for what a page of another site makes its visitor's browser ask, which may guess the port."""
    if headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise Refusal(HTTPStatus.FORBIDDEN, "No page of another site may run a program.")


def about(method: str, target: str, headers: Message, body: bytes) -> dict[str, str]:
    """What the program is told of a request, in CGI's variables; of its headers, which hold secrets, the type alone.

    Raises Refusal for a path that no variable can hold.
    """
    path, _, query = target.partition("?")
    variables = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote(path, errors="surrogateescape"),
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
    }
    if any("\0" in value for value in variables.values()):
        raise Refusal(HTTPStatus.BAD_REQUEST, "The path holds a NUL.")
    return variables


def kind_of(printed: bytes) -> str:
    """The content type: JSON for what is JSON, else text."""
    try:
        json.loads(printed.decode())
    except (ValueError, RecursionError):
        return TEXT
    return JSON


def read_body(headers: Message, stream: BufferedIOBase) -> bytes:
    """The body of a request. Raises Refusal where it is too large or has no end, ConnectionError where it is cut."""
    if encoding := headers.get("Transfer-Encoding"):
        if encoding.strip().lower() != "chunked":
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, f"The transfer encoding {encoding[:100]} is not known here.")
        return _chunks(stream)
    found = _LENGTH.fullmatch(headers.get("Content-Length", "0"))
    if not found:
        raise _nonsense()
    return _exactly(_allowed(int(found[1])), stream)


def _chunks(stream: BufferedIOBase) -> bytes:
    body = bytearray()
    while size := _chunk_size(stream):
        _allowed(len(body) + size)
        body += _exactly(size, stream)
        if stream.readline(MAX_LINE_BYTES).strip():
            raise _nonsense()
    for _ in range(MAX_TRAILERS):
        if not stream.readline(MAX_LINE_BYTES).strip():
            return bytes(body)
    raise _nonsense()


def _chunk_size(stream: BufferedIOBase) -> int:
    found = _SIZE.fullmatch(stream.readline(MAX_LINE_BYTES))
    if not found:
        raise _nonsense()
    return int(found[1], 16)


def _exactly(size: int, stream: BufferedIOBase) -> bytes:
    body = stream.read(size)
    if len(body) < size:
        raise ConnectionResetError
    return body


def _allowed(size: int) -> int:
    if size > MAX_BODY_BYTES:
        detail = f"The body is larger than {MAX_BODY_BYTES >> 20} MiB, the most that a program is given."
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    return size


def _nonsense() -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "It is not said how long the body is.")
