"""Single calls without grpcio, and with it where that cannot be."""

from __future__ import annotations

import base64
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from micro import errors, web_calls, wire
from tests.certificates import Authority
from tests.fakes import FakeEcho, FakePeer
from tests.micro.conftest import MICRO, eventually

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc-web+proto\r\n"
PATH = "/a.B/Last"


def frame(data: bytes, kind: int = 0) -> bytes:
    return bytes([kind]) + len(data).to_bytes(4, "big") + data


def answer(*frames: bytes) -> bytes:
    return HEAD + b"\r\n" + b"".join(frames)


GOOD = answer(frame(b"hello"), frame(b"grpc-status:0\r\n", 128))


@contextlib.contextmanager
def connected(address: str, ca: Path | str = "") -> Iterator[web_calls.Connection]:
    connection = web_calls.Connection(address, ca=str(ca))
    yield connection
    connection.close()


def call(address: str, ca: Path | str = "", timeout_s: float = 20, **metadata: str | bytes) -> bytes:
    with connected(address, ca) as connection:
        return connection.unary(PATH, b"hello", metadata=tuple(metadata.items()), timeout_s=timeout_s)


def used_grpcio(connection: web_calls.Connection) -> bool:
    return "_channel" in connection.__dict__


@contextlib.contextmanager
def grpc_only(certificate: Path | None = None) -> Iterator[str]:
    """A server on grpcio; its port."""
    server = grpc.server(futures.ThreadPoolExecutor(4), (FakeEcho(),))
    if certificate:
        pair = certificate.with_suffix(".key").read_bytes(), certificate.read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield str(port)
    server.stop(None).wait()


def test_a_call_and_its_answer_are_frames_of_grpc_web():
    with FakePeer(GOOD) as peer, connected(peer.address) as connection:
        reply = connection.unary(PATH, b"hello", metadata=(("micro-namespace", "shop"),), timeout_s=2.5)
        assert not used_grpcio(connection)
    assert reply == b"hello"
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert body == frame(b"hello")
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST {PATH} HTTP/1.1"
    assert {"content-type: application/grpc-web+proto", "micro-namespace: shop", "grpc-timeout: 2500m"} <= set(lines)


@pytest.mark.parametrize("is_in_headers", [False, True])
def test_an_error_comes_by_its_trailers_or_by_its_headers(is_in_headers):
    error = errors.NotFound("Größe € gibt es nicht.", id="shop")
    status, text, ((name, details),) = wire.to_status(error)
    assert isinstance(details, bytes)
    packed = base64.b64encode(details).decode().rstrip("=")
    for lines in (f"{name}: {packed}", f"Grpc-Message: {text}", "grpc-message:%7B%22code%22: 404}"):
        trailers = f"grpc-status: {status}\r\n{lines}\r\n".encode()
        said = HEAD + trailers + b"\r\n" if is_in_headers else answer(frame(trailers, 128))
        with FakePeer(said) as peer, pytest.raises(errors.NotFound) as found:
            call(peer.address)
        assert found.value.detail == (error.detail if "%7B" not in lines else "")


@pytest.mark.parametrize("lines", ["grpc-status: x", "grpc-status: 99", "grpc-status: 2\r\ngrpc-status-details-bin: ä"])
def test_a_status_that_makes_no_sense_is_an_error_all_the_same(lines):
    with FakePeer(answer(frame(lines.encode(), 128))) as peer, pytest.raises(errors.Internal):
        call(peer.address)


@pytest.mark.parametrize(
    "said",
    [
        GOOD[:-20],
        GOOD[: -len("grpc-status:0\r\n") - 5],
        answer(b"\0\0"),
        answer(),
        HEAD + b"content-length: 90\r\n\r\n" + frame(b"hello"),
    ],
)
def test_an_answer_that_is_cut_short_is_an_error_and_is_not_asked_for_again(said):
    with FakePeer(said) as peer, pytest.raises(errors.Unavailable, match=r"The connection to .* was cut\."):
        call(peer.address)
    assert len(peer.requests) == 1


@pytest.mark.parametrize("count", [0, 2])
def test_an_answer_has_one_message(count):
    said = answer(*[frame(b"x")] * count, frame(b"grpc-status:0\r\n", 128))
    with FakePeer(said) as peer, pytest.raises(errors.Internal, match=f"{count} messages"):
        call(peer.address)


def test_an_answer_that_is_too_large_is_refused():
    said = HEAD + f"content-length: {wire.MAX_MESSAGE_BYTES * 2}\r\n\r\n".encode()
    with FakePeer(said) as peer, pytest.raises(errors.ResourceExhausted, match="larger than max"):
        call(peer.address)


def test_a_server_that_closes_the_connection_in_the_midst_of_a_call_is_not_sent_it_again():
    """It speaks HTTP, as the second connection shows: the call may have been carried out."""
    with FakePeer(b"", b"HTTP/1.1 404 Not Found\r\n\r\n") as peer, pytest.raises(errors.Unavailable, match="was cut"):
        call(peer.address)
    assert [b"hello" in request for request in peer.requests] == [True, False]


def test_a_server_that_never_answers_is_waited_for_as_long_as_was_said_and_asked_once():
    with FakePeer(b"", is_open=True) as peer, pytest.raises(errors.DeadlineExceeded, match="Deadline Exceeded"):
        call(peer.address, timeout_s=0.3)
    assert len(peer.requests) == 1


def test_a_gateway_without_a_server_is_not_sent_the_call_again():
    said = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
    with FakePeer(said) as peer, pytest.raises(errors.Unavailable, match=r"What answers at .* is no micro server"):
        call(peer.address)
    assert len(peer.requests) == 1


def test_a_server_that_speaks_grpc_alone_is_asked_by_grpcio_from_then_on():
    with grpc_only() as port, connected(f"127.0.0.1:{port}") as connection:
        assert [connection.unary(PATH, b"hello", metadata=(), timeout_s=20) for _ in range(3)] == [b"hello"] * 3
        assert used_grpcio(connection)


def test_a_server_that_speaks_grpc_alone_over_tls_is_asked_by_grpcio(tmp_path):
    authority = Authority(tmp_path / "ca")
    with grpc_only(authority.issue()) as port:
        assert call(f"https://localhost:{port}", authority.file) == b"hello"
        with pytest.raises(wire.Untrusted, match="authority that this machine does not know"):
            call(f"https://localhost:{port}")
        with pytest.raises(wire.Untrusted, match="if it speaks TLS, say https://"):
            call(f"http://127.0.0.1:{port}")
        with pytest.raises(errors.InvalidArgument, match="cannot be used: No such file"):
            call(f"https://localhost:{port}", tmp_path / "nosuch.pem")
    with grpc_only() as port, pytest.raises(wire.Untrusted, match="does not speak TLS"):
        call(f"https://127.0.0.1:{port}", authority.file)


@pytest.mark.parametrize("status", ["404 Not Found", "415 Unsupported Media Type", "200 OK", "505 Not Supported"])
def test_somebody_else_at_the_address_is_no_micro_server(status):
    said = f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode()
    with FakePeer(said) as peer, pytest.raises(errors.Unavailable) as found:
        call(peer.address)
    assert peer.address in found.value.detail


def test_nobody_there_is_unreachable_in_grpcios_way():
    with pytest.raises(wire.Unreachable, match=r"Failed to connect to micro server at 127\.0\.0\.1:1"):
        call("127.0.0.1:1")


def test_what_http1_cannot_carry_goes_by_grpcio():
    for metadata in ({"data-bin": b"\xff"}, {"te": "trailers"}, {"x": "a\tb"}):
        assert not web_calls._fits(PATH, b"", tuple(metadata.items()))
    assert not web_calls._fits("/a.B/Lä", b"", ())
    assert not web_calls._fits(PATH, bytes(wire.MAX_MESSAGE_BYTES + 1), ())
    with grpc_only() as port, connected(f"127.0.0.1:{port}") as connection:
        assert connection.unary(PATH, b"x", metadata=(("data-bin", b"\xff"),), timeout_s=20) == b"x"


def test_a_proxy_in_the_environment_is_grpcios_affair(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert web_calls.Connection("proxy.lan:8081")._left == 0
    assert web_calls.Connection("127.0.0.1:8081")._left > 0


def test_who_makes_many_calls_comes_to_have_one_connection_for_all():
    with FakePeer(GOOD) as peer, connected(peer.address) as connection:
        for _ in range(web_calls.FEW):
            assert connection.unary(PATH, b"hello", metadata=(), timeout_s=20) == b"hello"
        assert not used_grpcio(connection)
        with pytest.raises(errors.Unavailable):  # this one speaks no gRPC
            connection.unary(PATH, b"hello", metadata=(), timeout_s=20)
        assert used_grpcio(connection)


@pytest.mark.parametrize("heavy", ["grpc", "asyncio", "ssl", "http.client", "email", "logging"])
def test_a_command_that_makes_one_call_imports_nothing_heavy(heavy, tmp_path):
    script = (
        f"import sys; from micro.cli.main import run; assert run(sys.argv[1:]) == 0; sys.exit({heavy!r} in sys.modules)"
    )
    with FakePeer(answer(frame(b"\n\x06\n\x01k\x12\x01v"), frame(b"grpc-status:0\r\n", 128))) as peer:
        done = subprocess.run(
            [sys.executable, "-c", script, "store", "read", "k"],
            env={"HOME": str(tmp_path), "MICRO_PROXY": peer.address},
            capture_output=True,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"v\n", b"")


def test_ctrl_c_while_a_call_is_waited_for_is_one_word(tmp_path):
    with FakePeer(b"", is_open=True) as peer:
        process = subprocess.Popen(
            [*MICRO, "store", "read", "k"],
            env={"HOME": str(tmp_path), "MICRO_PROXY": peer.address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: peer.requests, 20)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, "Interrupted.")
