"""A folder becomes a running service that answers over HTTP and gRPC."""

from __future__ import annotations

import json

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from server import Server, eventually


@pytest.fixture(scope="module", autouse=True)
def helloworld(server: Server):
    server.micro("run", "examples/helloworld")
    yield
    server.micro("kill", "helloworld")


def test_run_says_nothing_on_stdout_and_status_says_running(server):
    assert server.micro("run", "examples/helloworld").stdout == ""
    assert server.status("helloworld") == "running"


def test_the_service_is_a_command_of_the_command_line(server):
    assert json.loads(server.micro("helloworld", "--name=Joe").stdout) == {"msg": "Hello Joe"}
    assert json.loads(server.micro("helloworld", "call", "--name", "Joe").stdout) == {"msg": "Hello Joe"}
    assert "--name string" in (
        server.micro("helloworld", "call", "--help", check=False).stdout
        + server.micro("helloworld", "call", "--help", check=False).stderr
    )


def test_micro_call_takes_json(server):
    answer = server.micro("call", "helloworld", "Helloworld.Call", '{"name": "Joe"}')
    assert json.loads(answer.stdout) == {"msg": "Hello Joe"}


@pytest.mark.parametrize(
    "path", ["/helloworld?name=Joe", "/helloworld/call?name=Joe", "/helloworld/Helloworld/Call?name=Joe"]
)
def test_the_gateway_answers_get_with_a_query(server, path):
    answer = server.get(path)
    assert (answer.status_code, answer.json()) == (200, {"msg": "Hello Joe"})


def test_the_service_is_listed_once(server):
    assert server.micro("services").stdout.split().count("helloworld") == 1


STOCK = {
    "greet.proto": """
syntax = "proto3";
package greet.v1;
message Request { string name = 1; }
message Response { string msg = 1; }
service Greeter { rpc Hello(Request) returns (Response); rpc Count(Request) returns (stream Response); }
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

server = grpc.server(futures.ThreadPoolExecutor(4))
greet_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
reflection.enable_server_reflection(["greet.v1.Greeter", reflection.SERVICE_NAME], server)
server.add_insecure_port(os.environ["MICRO_SERVICE_ADDRESS"])
server.start()
server.wait_for_termination()
""",
}


@pytest.fixture(scope="module")
def stock(server: Server, tmp_path_factory):
    """A gRPC server that knows nothing of us, and the messages of its proto."""
    folder = tmp_path_factory.mktemp("stock") / "stock"
    folder.mkdir()
    for name, text in STOCK.items():
        (folder / name).write_text(text)
    server.micro("run", folder)
    [replica] = server.replicas("stock")
    ports = {
        c.laddr.port
        for p in [replica, *replica.children(recursive=True)]
        for c in p.net_connections()
        if c.status == "LISTEN"
    }
    with grpc.insecure_channel(f"127.0.0.1:{ports.pop()}") as direct:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(direct))
        method = pool.FindServiceByName("greet.v1.Greeter").FindMethodByName("Hello")
        messages = (
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
        )
    yield messages
    server.micro("kill", "stock")


@pytest.mark.parametrize("path", ["/greet.v1.Greeter/Hello", "/stock.Greeter/Hello"])
@pytest.mark.parametrize("port", ["proxy_port", "network_port"])
def test_a_stock_grpc_stub_is_answered_by_proto_name_and_by_service_name(server, stock, path, port):
    request, response = stock
    with grpc.insecure_channel(f"127.0.0.1:{getattr(server, port)}") as channel:
        call = channel.unary_unary(
            path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        assert call(request(name="Joe"), timeout=10).msg == "Hello Joe"


def test_a_stock_grpc_service_has_commands_and_urls_and_streams(server, stock):
    assert json.loads(server.micro("stock", "greeter", "hello", "--name=Joe").stdout) == {"msg": "Hello Joe"}
    assert server.get("/stock/Greeter/Hello?name=Joe").json() == {"msg": "Hello Joe"}
    request, response = stock
    with grpc.insecure_channel(f"127.0.0.1:{server.proxy_port}") as channel:
        call = channel.unary_stream(
            "/stock.Greeter/Count",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        assert [message.msg for message in call(request(name="Joe"), timeout=10)] == ["Joe 0", "Joe 1", "Joe 2"]


def test_a_path_of_no_service_is_refused_by_name(server, stock):
    request, response = stock
    with grpc.insecure_channel(f"127.0.0.1:{server.proxy_port}") as channel:
        call = channel.unary_unary(
            "/nosuch.Greeter/Hello",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        with pytest.raises(grpc.RpcError) as failure:
            call(request(name="Joe"), timeout=10)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    assert "service nosuch: route not found" in failure.value.details()


def test_the_run_log_and_the_build_log_can_be_read(server):
    server.micro("helloworld", "--name=Joe")
    assert "python" in server.micro("logs", "--build", "helloworld").stdout.lower()
    assert server.micro("logs", "helloworld").returncode == 0


def test_an_unknown_service_and_an_unknown_method_are_named(server):
    unknown = server.micro("call", "nosuch", "Nosuch.Call", "{}", check=False)
    assert unknown.returncode in {4, 5}
    assert '"nosuch" not found' in unknown.stderr
    method = server.micro("call", "helloworld", "Helloworld.Nosuch", "{}", check=False)
    assert method.returncode == 5
    assert "not found" in method.stderr
    malformed = server.micro("call", "helloworld", "nosuch", "{}", check=False)
    assert malformed.returncode == 3
    assert server.get("/nosuch").status_code == 404


def test_a_plain_http_service_answers_on_its_own_host_and_under_its_name(server):
    server.micro("run", "examples/web")
    own = server.get("/", host="web--micro.localhost")
    below = server.get("/web/")
    assert own.status_code == below.status_code == 200
    assert own.text == below.text
    server.micro("kill", "web")
    eventually(lambda: server.get("/web/").status_code == 404, 5, "the killed service is gone from the gateway")
