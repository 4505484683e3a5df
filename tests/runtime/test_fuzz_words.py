"""Whatever a tenant's program prints or answers: it is read in bounded memory and time."""

from __future__ import annotations

import random
import socketserver
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime import last_words, logs, probes
from runtime.builds import complaints

HOST = "127.0.0.1"
WORDS = [
    "Traceback (most recent call last):\n",
    '  File "',
    '", line 1',
    "Error: ",
    "    at (",
    "/a:1:1",
    "goroutine ",
    "panic: ",
    "\n",
    "\x1b[",
    "\x1b]",
    ";",
    "0",
    "\x07",
    "\r",
    " ",
    "(",
    ")",
    "error]",
    "npm ERR! ",
    "#1 0.1 ",
    "Step 1/2 : ",
    "\u00d7 ",
    "é",
    "\0",
    "> [1/2] ",
]
LONG = [
    "\x1b[" + "0" * 200_000,
    "\x1b]" * 100_000,
    " at (" * 40_000,
    "/a" * 100_000,
    " " * 200_000,
    "#1 " * 60_000,
    "(" * 200_000,
]


@pytest.mark.parametrize("text", LONG, ids=[repr(text[:4]) for text in LONG])
def test_a_line_that_a_pattern_could_get_lost_in_is_read_at_once(text):
    began = time.monotonic()
    for around in (f"  File {text}", f"Error{text}\n    at {text}x", text):
        logs.plain(around)
        last_words.telling(around)
        complaints.of_command(around)
        complaints.of_uv(around)
        complaints.of_tools(around)
    assert time.monotonic() - began < 20


def test_any_output_has_a_last_word():
    chance = random.Random(8)  # noqa: S311 - the same words in every run
    for _ in range(2000):
        output = "".join(chance.choices(WORDS, k=chance.randint(0, 40)))
        assert isinstance(last_words.telling(output), str)
        assert isinstance(complaints.of_command(output), str)
        assert "\x1b" not in logs.plain(output)


@contextmanager
def saying(words: bytes, *, again: bool = False, pause_s: float = 0.0) -> Iterator[int]:
    """A server that says its words to everybody, once or until nobody listens."""

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while True:
                    self.request.sendall(words)
                    time.sleep(pause_s)
                    if not again:
                        return
            except OSError:
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server((HOST, 0), Talk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


FLOODS = {
    "a page": (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, 0.0),
    "a head": (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000, 0.0),
    "settings": (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", 0.0),
    "drops": (b"H", 0.2),
    "noise": (bytes(range(256)), 0.001),
}


@pytest.mark.parametrize("protocol", ["", "http", "grpc"])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_server_that_never_ends_its_answer_is_heard_for_seconds_and_kilobytes(flood, protocol):
    words, pause_s = FLOODS[flood]
    tracemalloc.start()
    with saying(words, again=True, pause_s=pause_s) as port:
        began = time.monotonic()
        probes.Probe(protocol).ask(HOST, port)
        assert time.monotonic() - began < 30
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 << 20


def test_whatever_a_server_says_the_probe_has_an_answer(monkeypatch):
    monkeypatch.setattr(probes, "ANSWER_TIMEOUT_S", 0.2)
    monkeypatch.setattr(probes, "PAGE_TIMEOUT_S", 0.2)
    chance = random.Random(12)  # noqa: S311 - the same words in every run
    pieces = [
        b"HTTP/1.1 ",
        b"200",
        b"\r\n",
        b"\0",
        b"\x00\x00\x06\x04",
        b"\x07",
        b"\xff" * 9,
        b"server: python/",
        b"a" * 50,
    ]
    for _ in range(40):
        with saying(b"".join(chance.choices(pieces, k=chance.randint(0, 8)))) as port:
            ready = probes.Probe(chance.choice(["", "http"])).ask(HOST, port)
        assert ready is None or ready.protocol in {"http", "grpc"}
