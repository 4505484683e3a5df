"""Requests over HTTP/1.1: what is an answer, and what is none."""

from __future__ import annotations

import time

import pytest

from micro import http1
from tests.fakes import FakePeer


def ask(peer: FakePeer, *, within_s: float = 20, largest: int = 100) -> http1.Answer:
    deadline = time.monotonic() + within_s
    return http1.post(
        peer.address, "/a/b", headers={"x-one": "1"}, body=b"hello", deadline=deadline, max_body_bytes=largest
    )


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef", b"abc"),
        (b"HTTP/1.1 200\r\nX: y\r\n\r\nabc", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        ([bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"], b"a"),
    ],
)
def test_a_body_ends_where_its_length_its_chunks_or_its_connection_say(answer, body):
    with FakePeer(answer) as peer:
        found = ask(peer)
    assert (found.status, found.body) == (200, body)


def test_a_request_has_its_host_its_headers_its_length_and_its_body():
    with FakePeer(b"HTTP/1.1 204 No Content\r\n\r\n") as peer:
        ask(peer)
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert body == b"hello"
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /a/b HTTP/1.1"
    assert set(lines) >= {f"host: {peer.address}", "content-length: 5", "x-one: 1"}


def test_trailers_stand_among_the_headers():
    with FakePeer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nGrpc-Status: 5\r\n\r\n") as peer:
        assert ask(peer).headers["grpc-status"] == "5"


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"", http1.Closed),
        (b"\0\0\x18\x04\0\0\0\0\0", http1.NotHttp),
        (b"SSH-2.0-x\r\n", http1.NotHttp),
        (b"HTTP/2 200\r\n\r\n", http1.NotHttp),
        (b"HTTP/1.1 fine\r\n\r\n", http1.NotHttp),
        (b"HTTP/1.1 20", http1.Cut),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", http1.Cut),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nabc", http1.Cut),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", http1.Cut),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc", http1.Cut),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", http1.Cut),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, http1.TooLarge),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n", http1.TooLarge),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 101, http1.TooLarge),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n" + b"y" * 64 + b"\r\n40\r\n", http1.TooLarge),
    ],
)
def test_what_is_no_whole_answer_is_named_for_what_it_is(answer, failure):
    with FakePeer(answer) as peer, pytest.raises(http1.Failed) as found:
        ask(peer)
    assert found.type is failure


def test_nobody_there_is_not_connected():
    with FakePeer(b"") as peer:
        pass
    with pytest.raises(http1.NotConnected):
        ask(peer)


@pytest.mark.parametrize("address", ["no-such-host.invalid:1", "nö..invalid:1", "127.0.0.1:99999", f"{'x' * 70}.lan:1"])
def test_an_address_that_is_none_is_not_connected(address):
    with pytest.raises(http1.NotConnected):
        http1.post(address, "/", headers={}, body=b"", deadline=None, max_body_bytes=1)


def test_a_silent_server_is_waited_for_as_long_as_was_said():
    with FakePeer(b"", is_open=True) as peer, pytest.raises(http1.Late):
        ask(peer, within_s=0.2)


def test_a_server_that_drips_is_waited_for_as_long_as_was_said_and_no_longer():
    drops = [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 600]
    begun = time.monotonic()
    with FakePeer(drops, pause_s=0.05) as peer, pytest.raises(http1.Late):
        ask(peer, within_s=0.5, largest=1000)
    assert time.monotonic() - begun < 15
