"""gRPC through a real Envoy: by service names and full names, in frames of JSON, from browsers."""

from __future__ import annotations

import json
import queue
import time

import grpc
import pytest

from gateway.state import Service

from .backends import Grpc, free_port
from .harness import Gateway, error_of

FOO = {"micro-namespace": "foo"}
DOORS = ("api", "proxy", "network")


def ask(backend: Grpc, **values: object) -> bytes:
    return backend.request_type(**values).SerializeToString()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/helloworld.Helloworld/Call", "/helloworld.other.Helloworld/Call"])
def test_a_grpc_call_by_service_name_reaches_the_proto_full_name(gateway: Gateway, hello: Grpc, door: str, path: str):
    if "other" in path:
        error = error_of(lambda: gateway.call(path, ask(hello, name="x"), door=door, micro_namespace="foo"))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        return
    answer = hello.response_type.FromString(gateway.call(path, ask(hello, name="x"), door=door, micro_namespace="foo"))
    assert answer.msg == "Hello x"
    assert answer.path == "/greeter.v1.Helloworld/Call"


def test_a_grpc_call_goes_by_host_too(gateway: Gateway, hello: Grpc):
    for path in ("/greeter.v1.Helloworld/Call", "/helloworld.Helloworld/Call"):
        data = gateway.call(path, ask(hello, name="x"), authority="helloworld--foo.localhost:8081")
        assert hello.response_type.FromString(data).path == "/greeter.v1.Helloworld/Call"


def test_a_proto_full_name_is_enough_when_one_service_offers_it(gateway: Gateway, hello: Grpc):
    data = gateway.call("/greeter.v1.Helloworld/Call", ask(hello, name="x"), micro_namespace="micro")
    assert hello.response_type.FromString(data).msg == "Hello x"


def test_a_proto_full_name_that_several_services_offer_is_refused_by_their_names(gateway: Gateway, hello: Grpc):
    error = error_of(lambda: gateway.call("/greeter.v1.Helloworld/Call", ask(hello), micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    document = json.loads(error.details())
    assert document["code"] == 409
    for name in ("helloworld", "shop.cart", "v1.people"):
        assert name in document["detail"]


def test_an_unknown_method_is_answered_by_the_service(gateway: Gateway):
    error = error_of(lambda: gateway.call("/helloworld.Helloworld/Nope", micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_service_is_not_found_in_micros_words(gateway: Gateway, door: str):
    error = error_of(lambda: gateway.call("/nope.Nope/Call", door=door, micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    document = json.loads(error.details())
    assert document["code"] == 404
    assert document["detail"] == "service nope: route not found"


def test_an_unknown_service_is_404_over_http_by_path_and_by_host(gateway: Gateway):
    for answer in (gateway.get("/nope/x", headers=FOO), gateway.get("/", host="nope--foo.localhost")):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "service nope: route not found"


def test_a_grpc_call_of_a_service_without_replicas_is_unavailable(own: Gateway, hello: Grpc):
    nowhere = ("127.0.0.1", free_port())
    own.serve(
        Service("foo", "empty", "grpc", (), hello.descriptors),
        Service("foo", "dead", "grpc", (nowhere,), hello.descriptors),
    )
    for name in ("empty", "dead"):
        error = error_of(lambda name=name: own.call(f"/{name}.Helloworld/Call", micro_namespace="foo"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert json.loads(error.details())["code"] == 503
        assert own.get(f"/{name}/helloworld/call", headers=FOO).json()["code"] == 503


def test_a_grpc_call_of_a_plain_http_service_says_that_it_is_one(gateway: Gateway):
    error = error_of(lambda: gateway.call("/web.Web/Call", micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert json.loads(error.details())["detail"] == "service web speaks HTTP, not gRPC"


def test_a_grpc_path_without_a_service_is_refused(gateway: Gateway):
    error = error_of(lambda: gateway.call("/Helloworld/Call", micro_namespace="foo"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "service name is blank" in error.details()


def test_a_grpc_stream_is_passed_on_message_by_message(gateway: Gateway, hello: Grpc):
    arrivals = []
    with gateway.channel() as channel:
        stream = channel.unary_stream("/helloworld.Helloworld/Count")
        for _ in stream(ask(hello, name="x"), metadata=[("micro-namespace", "foo")], timeout=10):
            arrivals.append(time.monotonic())
    assert len(arrivals) == 3
    assert arrivals[2] - arrivals[0] > 0.4


@pytest.mark.parametrize("door", DOORS)
def test_a_conversation_goes_back_and_forth(gateway: Gateway, hello: Grpc, door: str):
    spoken: queue.Queue[bytes | None] = queue.Queue()
    with gateway.channel(door) as channel:
        chat = channel.stream_stream("/helloworld.Helloworld/Chat")
        answers = chat(iter(spoken.get, None), metadata=[("micro-namespace", "foo")], timeout=10)
        for name in ("one", "two", "x" * 100_000, "three"):
            spoken.put(ask(hello, name=name))
            assert hello.response_type.FromString(next(answers)).size == len(ask(hello, name=name))
        spoken.put(None)
        assert list(answers) == []


def test_a_path_without_its_leading_slash_reaches_nobody(gateway: Gateway, hello: Grpc):
    calls = len(hello.seen)
    for path in ("helloworld.Helloworld/Call", "", "*"):
        error = error_of(lambda path=path: gateway.call(path, micro_namespace="foo"))
        assert error.code() is not grpc.StatusCode.OK
    assert len(hello.seen) == calls


def test_large_grpc_messages_pass_both_ways(gateway: Gateway, hello: Grpc):
    name = "x" * (30 * 1024 * 1024)
    data = gateway.call("/helloworld.Helloworld/Call", ask(hello, name=name), micro_namespace="foo")
    assert len(hello.response_type.FromString(data).msg) == len(name)


def test_json_frames_are_marked_for_the_service(gateway: Gateway, hello: Grpc):
    with gateway.channel() as channel:
        call = channel.unary_unary("/helloworld.Helloworld/Call")
        pairs = [("micro-namespace", "foo"), ("x-content-type", "application/json")]
        assert json.loads(call(b'{"name": "x"}', metadata=pairs, timeout=5))["codec"] == "json"
        pairs = [("micro-namespace", "foo"), ("x-content-type", "application/evil")]
        call(ask(hello, name="x"), metadata=pairs, timeout=5)
    assert "x-content-type" not in hello.seen[-1]


def test_a_grpc_content_type_of_json_is_told_to_the_service(gateway: Gateway, hello: Grpc):
    message = b'{"name": "x"}'
    answer = gateway.post(
        "/helloworld.Helloworld/Call",
        headers=FOO | {"content-type": "application/grpc+json", "x-content-type": "application/evil", "te": "trailers"},
        content=b"\0" + len(message).to_bytes(4, "big") + message,
    )
    assert json.loads(answer.content[5:])["codec"] == "json"
    assert hello.seen[-1]["x-content-type"] == "application/grpc+json"


def test_browsers_come_in_by_grpc_web(gateway: Gateway, hello: Grpc):
    message = ask(hello, name="x")
    answer = gateway.post(
        "/helloworld.Helloworld/Call",
        headers=FOO | {"content-type": "application/grpc-web+proto", "origin": "https://a.example"},
        content=b"\0" + len(message).to_bytes(4, "big") + message,
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/grpc-web")
    length = int.from_bytes(answer.content[1:5], "big")
    assert hello.response_type.FromString(answer.content[5 : 5 + length]).msg == "Hello x"
    assert b"grpc-status:0" in answer.content
    assert answer.headers["access-control-allow-origin"] == "https://a.example"


@pytest.mark.parametrize(
    ("path", "name", "status"),
    [
        ("/helloworld.Helloworld/Call", "missing", "5"),
        ("/nosuch.Helloworld/Call", "x", "5"),
        ("/web.Web/Call", "x", "12"),
    ],
)
def test_a_browser_may_read_why_its_grpc_web_call_failed(gateway: Gateway, hello: Grpc, path, name, status):
    message = ask(hello, name=name)
    browser = {"content-type": "application/grpc-web+proto", "origin": "https://a.example", "x-grpc-web": "1"}
    answer = gateway.post(
        path,
        headers=FOO | browser,
        content=b"\0" + len(message).to_bytes(4, "big") + message,
    )
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert "Grpc-Status" in answer.headers["access-control-expose-headers"]
    said = answer.headers.get("grpc-status") or answer.content.partition(b"grpc-status:")[2][:2].decode().strip()
    assert said == status
