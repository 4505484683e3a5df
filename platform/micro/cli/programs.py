"""A program that is run once for each request: what it is told, what it may use, and what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import IO

import click

AT_ONCE = 8
TIME_LIMIT_S = 60.0
MAX_PRINTED_BYTES = 64 * 1024 * 1024
KEPT_COMPLAINT_BYTES = 4096
READ_BYTES = 64 * 1024
# What `micro` itself logs in with is not the program's.
WITHHELD = ("MICRO_AUTH_ID", "MICRO_AUTH_SECRET")


class Refusal(Exception):
    """Why there is no answer: an HTTP status, and a sentence for the caller."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail

    def document(self, id: str) -> bytes:
        """As Micro's errors are."""
        return json.dumps(
            {"id": id, "code": self.status, "detail": self.detail, "status": self.status.phrase}, ensure_ascii=False
        ).encode()


class Program:
    """Runs a program, at most so many times at once, each for at most so long."""

    def __init__(self, path: Path, *, at_once: int = AT_ONCE, time_limit_s: float = TIME_LIMIT_S) -> None:
        self.path = path
        self._at_once, self._time_limit_s = at_once, time_limit_s
        self._places = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    def run(self, body: bytes, about: Mapping[str, str]) -> bytes:
        """What it prints, given a request's body on stdin and the variables `about` the request.

        Raises Refusal where it ends with another status than 0, is too many, too slow or prints too much.
        """
        if not self._places.acquire(blocking=False):
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self.path.name} runs {self._at_once} times already, the most at once: try again in a second.",
            )
        try:
            with self._started(body, about) as process:
                return self._outcome(process)
        finally:
            self._places.release()

    def close(self) -> None:
        """End what runs, and run nothing more."""
        with self._lock:
            self._is_closed = True
            for process in self._running:
                _kill(process)

    @contextlib.contextmanager
    def _started(self, body: bytes, about: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """The process, in a session of its own; gone with its children once the block is left by an exception."""
        with tempfile.TemporaryFile() as stdin:
            stdin.write(body)
            stdin.seek(0)
            process = self._start(stdin, about)
        try:
            yield process
        except BaseException:
            _kill(process)
            raise
        finally:
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
            with self._lock:
                self._running.discard(process)

    def _start(self, stdin: IO[bytes], about: Mapping[str, str]) -> subprocess.Popen[bytes]:
        own = {name: value for name, value in os.environ.items() if name not in WITHHELD}
        with self._lock:
            if self._is_closed:
                raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{self.path.name} is run no more: its service ends.")
            try:
                process = subprocess.Popen(
                    [self.path],
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={**own, **about},
                    start_new_session=True,
                )
            except OSError as error:
                detail = f"{self.path.name} cannot be started: {error.strerror}."
                raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, detail) from None
            self._running.add(process)
        return process

    def _outcome(self, process: subprocess.Popen[bytes]) -> bytes:
        deadline = time.monotonic() + self._time_limit_s
        try:
            printed, complaint = self._read(process, deadline)
            status = process.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            detail = f"{self.path.name} did not end within {self._time_limit_s:g} s, and was stopped."
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, detail) from None
        if status:
            detail = f"{self.path.name} {_end(status)}" + (f": {complaint}" if complaint else ".")
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
        return printed

    def _read(self, process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, str]:
        """All that it prints, and the last line that it complains with, until both have ended."""
        printed, complaint = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            for pipe, kept in ((process.stdout, printed), (process.stderr, complaint)):
                assert pipe is not None  # noqa: S101 - it was started with both
                selector.register(pipe, selectors.EVENT_READ, kept)
            while selector.get_map():
                for key, _ in _readable(selector, deadline):
                    piece = os.read(key.fd, READ_BYTES)
                    key.data.extend(piece)
                    if not piece:
                        selector.unregister(key.fileobj)
                    elif key.data is complaint:
                        _pass_on(piece)
                        del complaint[:-KEPT_COMPLAINT_BYTES]
                if len(printed) > MAX_PRINTED_BYTES:
                    detail = f"{self.path.name} prints more than {MAX_PRINTED_BYTES >> 20} MiB, and was stopped."
                    raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
        return bytes(printed), _last_line(complaint)


def _end(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    is_named = -status in set(signal.Signals)
    return f"was ended by signal {signal.Signals(-status).name if is_named else -status}"


def _readable(selector: selectors.BaseSelector, deadline: float) -> list[tuple[selectors.SelectorKey, int]]:
    """What can be read now. Raises TimeoutError after the deadline."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return selector.select(left_s)


def _pass_on(piece: bytes) -> None:
    """Show whoever has started the service what the program complains about."""
    with contextlib.suppress(OSError):  # nobody is there any more
        click.echo(piece, nl=False, err=True)


def _last_line(complaint: bytes | bytearray) -> str:
    lines = bytes(complaint).decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and its children. Once it is reaped, its number may be another's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all of them have just ended
            os.killpg(process.pid, signal.SIGKILL)
