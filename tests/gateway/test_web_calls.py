"""The command line's single calls, by gRPC-web through a real Envoy: whatever they come to, grpcio would have, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway import certificates
from gateway.certificates import Files
from gateway.state import Service
from micro import channel, errors, web_calls
from tests.certificates import Authority

from .backends import Grpc, free_port
from .harness import Gateway, token

FOO = (("micro-namespace", "foo"),)
Outcome = tuple[str, ...]


def outcome(call: Callable[[], bytes]) -> bytes | Outcome:
    """An answer, or the class, the id and the words of an error."""
    try:
        return call()
    except errors.Error as error:
        return type(error).__name__, error.id, error.detail


def both(address: str, path: str, data: bytes = b"", metadata=FOO, *, ca: str = "", timeout_s: float = 20):
    """What a call comes to without grpcio, and with it."""
    found = []
    for connection in (web_calls.Connection(address, ca=ca), channel.Connection(address, ca=ca)):
        found.append(outcome(lambda c=connection: c.unary(path, data, metadata=metadata, timeout_s=timeout_s)))
        if isinstance(connection, web_calls.Connection):
            assert "_channel" not in connection.__dict__, "it fell back on grpcio"
        connection.close()
    return found


def proxy(gateway: Gateway) -> str:
    return f"127.0.0.1:{gateway.doors.proxy[1]}"


def ask(hello: Grpc, name: str) -> bytes:
    return hello.request_type(name=name).SerializeToString()


@pytest.mark.parametrize("size", [1, 100, 1_000_000])
def test_an_answer_is_the_same_whatever_its_size(gateway: Gateway, hello: Grpc, size: int):
    for data in both(proxy(gateway), "/helloworld.Helloworld/Call", ask(hello, "x" * size)):
        assert isinstance(data, bytes), data
        answer = hello.response_type.FromString(data)
        assert answer.msg in ("x" * size, f"Hello {'x' * size}")
        assert (answer.codec, answer.path) == ("proto", "/greeter.v1.Helloworld/Call")


def test_frames_of_json_are_told_to_the_service(gateway: Gateway, hello: Grpc):
    metadata = (*FOO, ("x-content-type", "application/grpc+json"))
    for data in both(proxy(gateway), "/helloworld.Helloworld/Call", b'{"name": "x"}', metadata):
        assert isinstance(data, bytes), data
        assert b'"codec": "json"' in data


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("/helloworld.Helloworld/Call", "missing", "NotFound"),
        ("/helloworld.Helloworld/Call", "broken", "InvalidArgument"),
        ("/helloworld.Helloworld/Nope", "x", "Unimplemented"),
        ("/nope.Nope/Call", "x", "NotFound"),
        ("/web.Web/Call", "x", "Unimplemented"),
        ("/Helloworld/Call", "x", "InvalidArgument"),
        ("/empty.Nope/Call", "x", "Unimplemented"),
        ("/greeter.v1.Helloworld/Call", "x", "AlreadyExists"),
        ("/x", "x", "InvalidArgument"),
    ],
)
def test_an_error_is_the_same_in_kind_in_words_and_in_id(gateway: Gateway, hello: Grpc, path, name, kind):
    found, expected = both(proxy(gateway), path, ask(hello, name))
    assert found == expected
    assert found[0] == kind


@pytest.mark.parametrize("shown", ["Bearer junk", f"Bearer {token('foo', exp=1)}", f"Bearer {token('bar', kid='no')}"])
def test_a_token_that_is_no_good_is_refused_alike(gateway: Gateway, hello: Grpc, shown: str):
    metadata = (*FOO, ("authorization", shown))
    found, expected = both(proxy(gateway), "/helloworld.Helloworld/Call", ask(hello, "x"), metadata)
    assert found == expected
    assert found[0] == "Unauthenticated"


def test_a_service_that_is_away_is_unavailable_alike(own: Gateway, hello: Grpc):
    nowhere = ("127.0.0.1", free_port())
    services = [("empty", ()), ("dead", (nowhere,))]
    own.serve(*(Service("foo", name, "grpc", nodes, hello.descriptors) for name, nodes in services))
    for name, _ in services:
        found, expected = both(proxy(own), f"/{name}.Helloworld/Call")
        assert (found[0], found[1], found[2].split(":")[0]) == (expected[0], expected[1], expected[2].split(":")[0])
        assert found[0] == "Unavailable"


@pytest.fixture
def secured(tmp_path) -> Iterator[tuple[Gateway, Authority]]:
    authority, gateway = Authority(tmp_path / "ca"), Gateway()
    certificate = authority.issue()
    gateway.state = replace(gateway.state, doors=replace(gateway.doors, is_secure=True))
    try:
        gateway.start()
        assert gateway.control
        read = certificates.read(Files(certificate, certificate.with_suffix(".key")), at=datetime.now(UTC))
        gateway.control.certify(certificates.resource(read))
        yield gateway, authority
    finally:
        gateway.close()


def test_over_tls_it_is_the_same(secured, hello: Grpc):
    gateway, authority = secured
    gateway.serve(Service("foo", "helloworld", "grpc", (hello.endpoint,), hello.descriptors))
    address = f"https://localhost:{gateway.doors.proxy[1]}"
    for data in both(address, "/helloworld.Helloworld/Call", ask(hello, "x"), ca=str(authority.file)):
        assert isinstance(data, bytes), data
        assert hello.response_type.FromString(data).msg == "Hello x"
