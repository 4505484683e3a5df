"""A gRPC server that knows nothing of us: by stock stubs, in every kind of stream, from browsers, and by reflection."""

from __future__ import annotations

import base64
import json
import queue
from collections.abc import Iterator

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2
from server import Server

pytestmark = pytest.mark.backends("process", "docker")
STOCK = {
    "greet.proto": """
syntax = "proto3";
package greet.v1;
message Request { string name = 1; }
message Response { string msg = 1; }
service Greeter {
  rpc Hello(Request) returns (Response);
  rpc Count(Request) returns (stream Response);
  rpc Collect(stream Request) returns (Response);
  rpc Chat(stream Request) returns (stream Response);
}
""",
    "requirements.txt": "grpcio\ngrpcio-tools\ngrpcio-reflection\n",
    "main.py": """
import os
from concurrent import futures
import grpc
from grpc_reflection.v1alpha import reflection

greet_pb2, greet_pb2_grpc = grpc.protos_and_services("greet.proto")

class Greeter(greet_pb2_grpc.GreeterServicer):
    def Hello(self, request, context):
        return greet_pb2.Response(msg=f"Hello {request.name}")
    def Count(self, request, context):
        for number in range(3):
            yield greet_pb2.Response(msg=f"{request.name} {number}")
    def Collect(self, requests, context):
        return greet_pb2.Response(msg=" ".join(request.name for request in requests))
    def Chat(self, requests, context):
        for request in requests:
            yield greet_pb2.Response(msg=f"Hello {request.name}")

server = grpc.server(futures.ThreadPoolExecutor(4))
greet_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
reflection.enable_server_reflection(["greet.v1.Greeter", reflection.SERVICE_NAME], server)
server.add_insecure_port(os.environ["MICRO_SERVICE_ADDRESS"])
server.start()
server.wait_for_termination()
""",
}
Question = reflection_pb2.ServerReflectionRequest
DOORS = ("api_port", "proxy_port", "network_port")


def ask(server: Server, *questions: Question, version: str = "v1", host: str = "", port: str = "proxy_port") -> list:
    """The answers of gRPC reflection: of a service at its host, else of the namespace."""
    options = [("grpc.default_authority", host)] if host else []
    with grpc.insecure_channel(f"127.0.0.1:{getattr(server, port)}", options=options) as channel:
        stream = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=Question.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        return list(stream(iter(questions), timeout=10))


@pytest.fixture(scope="module")
def stock(server: Server, tmp_path_factory) -> Iterator[tuple[type, type]]:
    """The service runs; the messages of its proto, as reflection tells them."""
    folder = tmp_path_factory.mktemp("stock") / "stock"
    folder.mkdir()
    for name, text in STOCK.items():
        (folder / name).write_text(text)
    server.micro("run", folder)
    (answer,) = ask(server, Question(file_containing_symbol="greet.v1.Greeter"))
    pool = descriptor_pool.DescriptorPool()
    for file in answer.file_descriptor_response.file_descriptor_proto:
        pool.Add(FileDescriptorProto.FromString(file))
    names = ("greet.v1.Request", "greet.v1.Response")
    yield tuple(message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names)
    server.micro("kill", "stock")


def method(kind: str, path: str, stock, channel: grpc.Channel):
    """A stub's method of one of grpc's four kinds."""
    request, response = stock
    return getattr(channel, kind)(
        path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )


@pytest.mark.parametrize("path", ["/greet.v1.Greeter/Hello", "/stock.Greeter/Hello"])
@pytest.mark.parametrize("port", DOORS)
def test_a_stock_stub_is_answered_by_proto_name_and_by_service_name(server, stock, path, port):
    with grpc.insecure_channel(f"127.0.0.1:{getattr(server, port)}") as channel:
        assert method("unary_unary", path, stock, channel)(stock[0](name="Joe"), timeout=10).msg == "Hello Joe"


@pytest.mark.parametrize("port", DOORS)
def test_streams_of_every_kind_pass_every_door(server, stock, port):
    request, _ = stock
    spoken: queue.Queue = queue.Queue()
    with grpc.insecure_channel(f"127.0.0.1:{getattr(server, port)}") as channel:
        count = method("unary_stream", "/stock.Greeter/Count", stock, channel)
        assert [answer.msg for answer in count(request(name="Joe"), timeout=10)] == ["Joe 0", "Joe 1", "Joe 2"]
        collect = method("stream_unary", "/stock.Greeter/Collect", stock, channel)
        assert collect(iter([request(name="Joe"), request(name="Ann")]), timeout=10).msg == "Joe Ann"
        answers = method("stream_stream", "/stock.Greeter/Chat", stock, channel)(iter(spoken.get, None), timeout=10)
        for name in ("Joe", "Ann"):  # each is answered before the next is said
            spoken.put(request(name=name))
            assert next(answers).msg == f"Hello {name}"
        spoken.put(None)
        assert list(answers) == []


def test_it_has_commands_and_urls(server, stock):
    assert json.loads(server.micro("stock", "greeter", "hello", "--name=Joe").stdout) == {"msg": "Hello Joe"}
    assert server.get("/stock/Greeter/Hello?name=Joe").json() == {"msg": "Hello Joe"}


def frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The frames of gRPC-web: kind 0 is a message, 128 the trailers."""
    while body:
        size = int.from_bytes(body[1:5], "big")
        yield body[0], body[5 : 5 + size]
        body = body[5 + size :]


@pytest.mark.parametrize("port", ["api_port", "proxy_port"])
@pytest.mark.parametrize("is_text", [False, True])
@pytest.mark.parametrize(
    ("name", "said"), [("Hello", ["Hello Joe"]), ("Count", ["Joe 0", "Joe 1", "Joe 2"])], ids=["unary", "stream"]
)
def test_browsers_call_it_by_grpc_web(server, stock, port, is_text, name, said):
    request, response = stock
    message = request(name="Joe").SerializeToString()
    content = b"\0" + len(message).to_bytes(4, "big") + message
    kind = "application/grpc-web-text" if is_text else "application/grpc-web+proto"
    answer = httpx.post(
        f"http://127.0.0.1:{getattr(server, port)}/stock.Greeter/{name}",
        headers={"content-type": kind, "accept": kind, "origin": "https://a.example", "x-grpc-web": "1"},
        content=base64.b64encode(content) if is_text else content,
        timeout=10,
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["access-control-allow-origin"]
    body = b"".join(map(base64.b64decode, padded(answer.text))) if is_text else answer.content
    found = list(frames(body))
    assert [response.FromString(data).msg for flag, data in found if flag == 0] == said
    assert found[-1][0] == 128
    assert b"grpc-status:0" in found[-1][1].replace(b" ", b"")


def padded(text: str) -> list[str]:
    """base64 pieces that follow each other: each ends with its own padding."""
    return [text[start : start + 4] for start in range(0, len(text), 4)]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize("port", DOORS[:2])
def test_reflection_without_a_service_is_the_namespaces_and_at_a_services_host_its_own(server, stock, version, port):
    listing = Question(list_services="")
    (everything,) = ask(server, listing, version=version, port=port)
    names = {service.name for service in everything.list_services_response.service}
    assert {"greet.v1.Greeter", "auth.Auth", "runtime.Runtime"} <= names
    if version == "v1alpha":  # the only one that this server speaks itself
        host = f"stock--micro.localhost:{getattr(server, port)}"
        (own,) = ask(server, listing, version=version, port=port, host=host)
        names = {service.name for service in own.list_services_response.service}
        assert names == {"greet.v1.Greeter", "grpc.reflection.v1alpha.ServerReflection"}


def test_at_the_host_of_a_service_of_the_framework_both_versions_answer(server):
    server.micro("run", "examples/helloworld")
    for version in ("v1", "v1alpha"):
        host = f"helloworld--micro.localhost:{server.api_port}"
        (own,) = ask(server, Question(list_services=""), version=version, port="api_port", host=host)
        names = {service.name for service in own.list_services_response.service}
        assert "helloworld.Helloworld" in names
        assert "greet.v1.Greeter" not in names
    server.micro("kill", "helloworld")


def test_a_path_of_no_service_is_refused_by_name(server, stock):
    with grpc.insecure_channel(f"127.0.0.1:{server.proxy_port}") as channel:
        call = method("unary_unary", "/nosuch.Greeter/Hello", stock, channel)
        with pytest.raises(grpc.RpcError) as failure:
            call(stock[0](name="Joe"), timeout=10)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    assert "service nosuch: route not found" in failure.value.details()
