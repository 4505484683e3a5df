"""Addresses, paths, and errors on their way."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from concurrent import futures
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from micro import channel, codec, errors, wire
from micro.proto import registry_pb2, runtime_pb2
from tests.certificates import Authority


@pytest.mark.parametrize(
    ("address", "dialled", "is_secure"),
    [
        ("127.0.0.1:8081", "127.0.0.1:8081", False),
        (":8081", "127.0.0.1:8081", False),
        ("proxy.m3o.com", "proxy.m3o.com:443", True),
        ("proxy.m3o.com:443", "proxy.m3o.com:443", True),
        ("https://proxy.lan:8081", "proxy.lan:8081", True),
        ("http://proxy.lan:8081/", "proxy.lan:8081", False),
        ("http://127.0.0.1:443", "127.0.0.1:443", False),
        ("[::1]:8081", "[::1]:8081", False),
    ],
)
def test_an_address_says_whether_it_takes_tls(address, dialled, is_secure):
    assert wire.dialled(address) == (dialled, is_secure)


@pytest.mark.parametrize(
    ("service", "endpoint", "path"),
    [
        ("helloworld", "Helloworld.Call", "/helloworld.Helloworld/Call"),
        ("foo.bar", "Handler.Method", "/foo.bar.Handler/Method"),
        ("", "Foo.Bar", "/Foo/Bar"),
        ("x", "/a.B/C", "/a.B/C"),
    ],
)
def test_a_path_begins_with_the_services_name(service, endpoint, path):
    assert wire.path(service, endpoint) == path


@pytest.mark.parametrize("endpoint", ["call", "A.B.C", ".B", "A.", "A.B/C", ""])
def test_an_endpoint_is_a_handler_and_a_method(endpoint):
    with pytest.raises(errors.InvalidArgument, match="malformed method name"):
        wire.path("x", endpoint)


KINDS = [kind for kind in errors.Error.__subclasses__() if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_survives_the_way_by_its_details_and_by_its_message(kind):
    status, text, trailers = wire.to_status(kind("What went wrong.", id="shop"))
    for received in (wire.from_status(status, "", trailers), wire.from_status(errors.Status.UNKNOWN, text)):
        assert type(received) is kind
        assert (received.detail, received.id) == ("What went wrong.", "shop")
    assert json.loads(text)["code"] == kind.http


def test_every_error_has_a_status_of_its_own():
    assert len({kind.status for kind in KINDS}) == len({kind.http for kind in KINDS}) == len(KINDS)


def test_capitalised_keys_of_old_servers_are_understood():
    old = '{"Id":"auth","Code":401,"Detail":"No.","Status":"Unauthorized"}'
    received = wire.from_status(errors.Status.INTERNAL, old)
    assert isinstance(received, errors.Unauthenticated)
    assert received.detail == "No."


@pytest.mark.parametrize("text", ["plain", '{"code": 0}', "[1]", "{", '{"code": "x"}'])
def test_a_plain_status_is_the_error_of_that_status(text):
    received = wire.from_status(errors.Status.NOT_FOUND, text)
    assert isinstance(received, errors.NotFound)
    assert received.detail == text


def test_damaged_details_do_not_hide_the_error():
    received = wire.from_status(errors.Status.NOT_FOUND, "gone", ((wire.STATUS_KEY, b"\xff\xff"),))
    assert received.detail == "gone"


@pytest.mark.parametrize("character", ["x", "中", "😀", "%", '"', "\n", "\x7f"])
def test_an_overlong_error_arrives_cut_whatever_it_is_written_in(character):
    error = errors.NotFound(character * 100_000)

    def refuse(_: bytes, context: grpc.ServicerContext) -> None:
        status, text, trailers = wire.to_status(error)
        context.set_trailing_metadata(trailers)
        context.abort(channel.CODES[status], text)

    with serving(refuse) as port:
        connection = channel.Connection(f"127.0.0.1:{port}")
        for _ in range(50):  # of headers that are a little too large grpcio refuses some, by chance
            with pytest.raises(errors.NotFound) as found:
                connection.unary("/a.B/C", b"", metadata=(), timeout_s=20)
            assert len(found.value.detail) > 100
            assert set(found.value.detail) == {character}
        connection.close()


def test_an_error_that_fits_is_not_cut():
    error = errors.NotFound("Größe 中 %" * 50)
    wire.to_status(error)
    assert error.detail == "Größe 中 %" * 50


def test_somebody_else_at_the_address_is_not_taken_for_a_server(tmp_path):
    import http.server
    import threading

    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        connection = channel.Connection(f"127.0.0.1:{other.server_port}")
        with pytest.raises(errors.Unavailable, match=str(other.server_port)):
            connection.unary("/a/b", b"", metadata=(), timeout_s=5)
        connection.close()
        other.shutdown()


def test_a_host_without_an_address_is_unreachable():
    connection = channel.Connection("no-such-host.invalid:8081")
    with pytest.raises(wire.Unreachable, match="no-such-host"):
        connection.unary("/a/b", b"", metadata=(), timeout_s=5)
    connection.close()


def test_json_keeps_original_names_and_writes_defaults_and_64_bits_as_strings():
    service = registry_pb2.Service(name="x", options=registry_pb2.Options(ttl=90))
    fields = codec.to_dict(service)
    assert fields["options"]["ttl"] == "90"
    assert fields["endpoints"] == []
    assert codec.to_dict(runtime_pb2.CreateOptions(instances=2**53 + 1))["instances"] == str(2**53 + 1)


@pytest.mark.parametrize(
    ("value", "is_json"),
    [
        ("application/grpc+json", True),
        ("application/json; charset=utf-8", True),
        ("application/grpc+proto", False),
        ("", False),
    ],
)
def test_the_content_type_says_whether_frames_are_json(value, is_json):
    assert codec.is_json([("x-content-type", value)]) is is_json
    assert codec.is_json([]) is False


class Always(grpc.GenericRpcHandler):
    """Answers every call by one function."""

    def __init__(self, function: Callable[[bytes, grpc.ServicerContext], bytes | None]) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(function)

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return self._handler


@contextlib.contextmanager
def serving(function: Callable[[bytes, grpc.ServicerContext], bytes | None], certificate: Path | None = None):
    """A server that speaks TLS with a certificate, or plain without; its port."""
    server = grpc.server(futures.ThreadPoolExecutor(2), (Always(function),))
    if certificate:
        pair = certificate.with_suffix(".key").read_bytes(), certificate.read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def listening(certificate: Path | None):
    """A server that answers whatever it is sent."""
    return serving(lambda data, _: data, certificate)


def answer(address: str, ca: Path | str = "") -> bytes:
    connection = channel.Connection(address, ca=str(ca))
    try:
        return connection.unary("/a.B/C", b"hello", metadata=(), timeout_s=10)
    finally:
        connection.close()


def test_a_server_is_trusted_by_an_authority_that_the_system_does_not_know(tmp_path):
    authority = Authority(tmp_path / "ca")
    with listening(authority.issue()) as port:
        assert answer(f"https://localhost:{port}", authority.file) == b"hello"


def test_what_is_wrong_with_a_servers_tls_is_said(tmp_path):
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    good, old = ours.issue("good"), ours.issue("old", life=timedelta(days=-1))
    elsewhere = ours.issue("elsewhere", host="other.lan")
    wrongs = [
        (good, theirs.file, "https://127.0.0.1", "is signed by an authority that this machine does not know"),
        (good, "", "https://127.0.0.1", "is signed by an authority that this machine does not know"),
        (old, ours.file, "https://127.0.0.1", "has expired"),
        (elsewhere, ours.file, "https://localhost", "is for another name"),
        (None, ours.file, "https://127.0.0.1", "does not speak TLS: if that is meant, say http://127.0.0.1"),
        (good, "", "http://127.0.0.1", "if it speaks TLS, say https://127.0.0.1"),
    ]
    for certificate, ca, host, text in wrongs:
        with listening(certificate) as port, pytest.raises(wire.Untrusted, match=text):
            answer(f"{host}:{port}", ca)


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("junk", "holds no certificate in PEM")])
def test_an_authority_that_cannot_be_read_is_named(tmp_path, content, why):
    if content:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(errors.InvalidArgument, match=f"ca.pem cannot be used: .*{why}"):
        answer("https://127.0.0.1:1", tmp_path / "ca.pem")
