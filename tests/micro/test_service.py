"""The framework: one service file becomes a gRPC server that stock clients understand."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from micro import Client, errors
from micro.proto import debug_pb2
from tests.micro.conftest import HELLOWORLD, eventually

JSON = (("x-content-type", "application/grpc+json"),)

SHOP = """
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from enum import Enum

from micro import Context, Service, errors


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Size(Enum):
    SMALL = 0
    RED = 7


@dataclass
class Money:
    units: int
    currency: str = "EUR"


@dataclass
class Item:
    name: str
    price: Money
    tags: list[str] = field(default_factory=list)
    stock: dict[str, int] = field(default_factory=dict)
    colour: Colour = Colour.GREEN
    size: Size = Size.SMALL
    weight: float | None = None
    picture: bytes = b""
    parts: list[Item] = field(default_factory=list)
    is_new: bool = True
    limit: int = 10


@dataclass
class Count:
    to: int = 3


@dataclass
class Number:
    value: int = 0


@dataclass
class Text:
    text: str = ""


class Shop:
    def echo(self, request: Item) -> Item:
        return request

    async def slowly(self, request: Text) -> Text:
        await asyncio.sleep(float(request.text))
        return request

    def in_a_thread(self, request: Text) -> Text:
        time.sleep(float(request.text))
        return request

    def count(self, request: Count) -> Iterator[Number]:
        for value in range(request.to):
            yield Number(value)

    async def count_slowly(self, request: Count) -> AsyncIterator[Number]:
        for value in range(request.to):
            await asyncio.sleep(0.01)
            yield Number(value)

    async def sum(self, requests: AsyncIterator[Number]) -> Number:
        return Number(sum([number.value async for number in requests]))

    def add(self, requests: Iterator[Number]) -> Iterator[Number]:
        total = 0
        for number in requests:
            total += number.value
            yield Number(total)

    def missing(self, request: Text) -> Text:
        raise errors.NotFound(f"There is no {request.text}.")

    def broken(self, request: Text) -> Text:
        raise ValueError("the till is empty")

    async def broken_stream(self, request: Text) -> AsyncIterator[Text]:
        yield request
        raise errors.PermissionDenied("No further.")

    def wrong(self, request: Text) -> Text:
        return Number(1)

    def nothing(self) -> None:
        pass

    def who(self, request: Text, context: Context) -> Text:
        inner = Context.current().metadata.get("colour", "")
        return Text(f"{context.namespace} {inner} {context.account and context.account.id}")

    async def who_async(self, context: Context) -> Text:
        account = await context.identify()
        return Text(account.id if account else "nobody")

    def _hidden(self) -> None:
        pass


service = Service("shop")
service.handle(Shop())
service.run()
"""


@pytest.fixture
def shop(start):
    return start(SHOP, MICRO_SERVICE_ADDRESS="127.0.0.1:0")


@pytest.fixture
def channel(shop):
    with grpc.insecure_channel(shop.address) as channel:
        yield channel


def call(channel: grpc.Channel, method: str, request: dict, *metadata: tuple[str, str]) -> dict:
    return json.loads(
        channel.unary_unary(f"/shop.Shop/{method}")(
            json.dumps(request).encode(), metadata=(*JSON, *metadata), timeout=5
        )
    )


def stream(channel: grpc.Channel, method: str, *requests: dict) -> list[dict]:
    sent = iter([json.dumps(request).encode() for request in requests])
    replies = channel.stream_stream(f"/shop.Shop/{method}")(sent, metadata=JSON, timeout=5)
    return [json.loads(reply) for reply in replies]


def test_the_example_listens_in_well_under_a_second(start):
    started = time.monotonic()
    start(HELLOWORLD, MICRO_SERVICE_ADDRESS="127.0.0.1:0")
    assert time.monotonic() - started < 5  # generous, for a busy machine


def test_stock_clients_find_health_and_descriptors(start):
    running = start(HELLOWORLD, MICRO_SERVICE_ADDRESS="127.0.0.1:0")
    with grpc.insecure_channel(running.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "helloworld.Helloworld"):
            assert (
                health.Check(health_pb2.HealthCheckRequest(service=name)).status
                == health_pb2.HealthCheckResponse.SERVING
            )
        with pytest.raises(grpc.RpcError) as failure:
            health.Check(health_pb2.HealthCheckRequest(service="nosuch"))
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "helloworld.Helloworld" in database.get_services()
        assert "debug.Debug" not in database.get_services()
        method = (
            descriptor_pool.DescriptorPool(database).FindServiceByName("helloworld.Helloworld").FindMethodByName("Call")
        )
        request, reply = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
        stub = channel.unary_unary("/helloworld.Helloworld/Call", request.SerializeToString, reply.FromString)
        assert stub(request(name="Joe")).msg == "Hello Joe"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_speaks_both_versions(start, version):
    from grpc_reflection.v1alpha import reflection_pb2  # the two differ by their package alone

    running = start(HELLOWORLD, MICRO_SERVICE_ADDRESS="127.0.0.1:0")
    ask = reflection_pb2.ServerReflectionRequest
    questions = [
        ask(list_services="*"),
        ask(file_containing_symbol="helloworld.Helloworld.Call"),
        ask(file_containing_symbol="grpc.health.v1.Health"),
        ask(file_by_filename="helloworld.proto"),
        ask(file_containing_symbol="no.Such"),
    ]
    with grpc.insecure_channel(running.address) as channel:
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        method = channel.stream_stream(path, ask.SerializeToString, reflection_pb2.ServerReflectionResponse.FromString)
        services, by_method, health, by_name, unknown = method(iter(questions), timeout=5)
    assert "helloworld.Helloworld" in [service.name for service in services.list_services_response.service]
    assert (
        by_method.file_descriptor_response.file_descriptor_proto
        == by_name.file_descriptor_response.file_descriptor_proto
    )
    assert health.file_descriptor_response.file_descriptor_proto
    assert unknown.error_response.error_code == 5


def test_every_type_survives_the_way_there_and_back(channel):
    item = {
        "name": "Büro \u0000 ☂",
        "price": {"units": str(2**63 - 1), "currency": "CHF"},
        "tags": ["a", ""],
        "stock": {"x": "1"},
        "colour": "RED",
        "size": "RED",
        "weight": 0.5,
        "picture": "AP8=",
        "parts": [{"name": "inner", "price": {"units": "1"}}],
        "is_new": False,
        "limit": "0",
    }
    reply = call(channel, "Echo", item)
    assert {key: reply[key] for key in item if key != "parts"} == {
        key: value for key, value in item.items() if key != "parts"
    }
    inner = reply["parts"][0]
    assert inner["name"] == "inner"
    assert inner["price"] == {"units": "1", "currency": "EUR"}


def test_absent_fields_have_the_dataclasses_defaults(channel):
    reply = call(channel, "Echo", {"name": "x"})
    assert reply["price"] == {"units": "0", "currency": "EUR"}
    assert (reply["is_new"], reply["limit"], reply["colour"]) == (True, "10", "GREEN")
    assert "weight" not in reply


def test_streams_flow_in_both_directions(channel):
    assert stream(channel, "Count", {"to": 3}) == [{"value": "0"}, {"value": "1"}, {"value": "2"}]
    assert stream(channel, "CountSlowly", {"to": 2}) == [{"value": "0"}, {"value": "1"}]
    assert stream(channel, "CountSlowly", {}) == [{"value": "0"}, {"value": "1"}, {"value": "2"}]
    assert stream(channel, "Sum", {"value": 1}, {"value": 2}) == [{"value": "3"}]
    assert stream(channel, "Add", {"value": 1}, {"value": 2}) == [{"value": "1"}, {"value": "3"}]


def test_a_method_may_take_and_return_nothing(channel):
    assert channel.unary_unary("/shop.Shop/Nothing")(b"") == b""
    assert call(channel, "Nothing", {}) == {}


@pytest.mark.parametrize("prefix", ["shop.Shop", "Shop", "anything.Shop", "v1.foo-bar.Shop"])
def test_only_what_follows_the_last_dot_counts(channel, prefix):
    assert channel.unary_unary(f"/{prefix}/Nothing")(b"") == b""


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/shop.Nosuch/Call", grpc.StatusCode.UNIMPLEMENTED, "unknown service Nosuch"),
        ("/shop.Shop/Nosuch", grpc.StatusCode.UNIMPLEMENTED, "unknown service Shop.Nosuch"),
        ("/shop.Shop/Hidden", grpc.StatusCode.UNIMPLEMENTED, "unknown service Shop.Hidden"),
        ("/Nothing", grpc.StatusCode.INVALID_ARGUMENT, 'malformed method name: "/Nothing"'),
    ],
)
def test_what_is_not_there_is_named_as_micro_does(channel, path, status, text):
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary(path)(b"")
    assert (failure.value.code(), failure.value.details()) == (status, text)


@pytest.mark.parametrize(
    ("method", "status", "code", "detail"),
    [
        ("Missing", grpc.StatusCode.NOT_FOUND, 404, "There is no tea."),
        ("Broken", grpc.StatusCode.INTERNAL, 500, "the till is empty"),
        ("Wrong", grpc.StatusCode.INTERNAL, 500, "expected a Text, got Number"),
    ],
)
def test_the_text_of_an_error_reaches_the_caller(channel, method, status, code, detail):
    with pytest.raises(grpc.RpcError) as failure:
        call(channel, method, {"text": "tea"})
    document = json.loads(failure.value.details())
    assert failure.value.code() is status
    assert (document["id"], document["code"], document["detail"]) == ("shop", code, detail)


def test_an_error_after_the_first_answer_ends_the_stream_with_it(channel):
    replies = channel.unary_stream("/shop.Shop/BrokenStream")(b"")
    assert next(replies) == b""
    with pytest.raises(grpc.RpcError) as failure:
        next(replies)
    assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("body", [b'{"text": 1}', b'{"nosuch": ""}', b"{", b"\xff"])
def test_json_that_does_not_fit_is_the_callers_mistake(channel, body):
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/shop.Shop/Missing")(body, metadata=JSON)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_protobuf_that_cannot_be_read_is_the_callers_mistake(channel):
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/shop.Shop/Missing")(b"\xff\xff\xff")
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_handler_knows_who_calls(sidecar, start, user):
    running = start(SHOP, MICRO_SERVICE_ADDRESS="127.0.0.1:0", MICRO_PROXY=sidecar.address)
    bearer = ("authorization", f"Bearer {user.micro('user', 'token').stdout.strip()}")
    with grpc.insecure_channel(running.address) as channel:
        assert call(channel, "Who", {}, bearer, ("micro-namespace", "shop"), ("colour", "red")) == {
            "text": "shop red admin"
        }
        assert call(channel, "Who", {}) == {"text": "micro  None"}
        assert call(channel, "WhoAsync", {}, bearer) == {"text": "admin"}
        assert call(channel, "WhoAsync", {}, ("authorization", "Bearer forged")) == {"text": "nobody"}
    assert (
        sum(path == "/auth.Auth/Inspect" for path, _ in sidecar.calls) == 1 + 1 + 1
    )  # login, ours once, the forged one


def test_debug_is_answered_by_every_service(channel):
    call(channel, "Nothing", {})
    stats = debug_pb2.StatsResponse.FromString(channel.unary_unary("/shop.Debug/Stats")(b""))
    assert stats.requests >= 1
    assert stats.memory > 1_000_000
    assert debug_pb2.HealthResponse.FromString(channel.unary_unary("/shop.Debug/Health")(b"")).status == "ok"


@pytest.mark.parametrize("method", ["Slowly", "InAThread"])
def test_a_stop_lets_requests_under_way_finish(shop, channel, method):
    pending = channel.unary_unary(f"/shop.Shop/{method}").future(b'{"text": "1"}', metadata=JSON)
    time.sleep(0.3)
    assert shop.stop() == 0
    assert json.loads(pending.result()) == {"text": "1"}


@pytest.mark.parametrize("method", ["Slowly", "InAThread"])
def test_a_stop_waits_no_longer_than_five_seconds(shop, channel, method):
    channel.unary_unary(f"/shop.Shop/{method}").future(b'{"text": "60"}', metadata=JSON)
    time.sleep(0.3)
    started = time.monotonic()
    assert shop.stop() == 0
    assert time.monotonic() - started < 8


def test_ctrl_c_stops_as_quietly_as_sigterm(shop):
    shop.process.send_signal(signal.SIGINT)
    _, err = shop.process.communicate(timeout=10)
    assert (shop.process.returncode, err) == (0, "")


def test_handlers_do_not_wait_for_each_other(shop, channel):
    started = time.monotonic()
    pending = [
        channel.unary_unary(f"/shop.Shop/{m}").future(b'{"text": "0.5"}', metadata=JSON)
        for m in ("InAThread", "Slowly") * 5
    ]
    for each in pending:
        each.result()
    assert time.monotonic() - started < 2.5


def test_an_address_in_use_is_one_sentence(shop):
    done = subprocess.run(
        [sys.executable, HELLOWORLD],
        env={"MICRO_SERVICE_ADDRESS": shop.address, "PATH": "", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        f"helloworld: Cannot listen on {shop.address}: Address already in use.\n",
    )


def test_the_platforms_name_for_a_service_wins(start):
    running = start(HELLOWORLD, MICRO_SERVICE_ADDRESS="127.0.0.1:0", MICRO_SERVICE_NAME="my-hello")
    with grpc.insecure_channel(running.address) as channel:
        assert "my_hello.Helloworld" in ProtoReflectionDescriptorDatabase(channel).get_services()
        assert channel.unary_unary("/my-hello.Helloworld/Call")(b"\n\x03Joe") == b"\n\tHello Joe"


def test_port_alone_is_a_port_of_loopback(start):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert start(HELLOWORLD, PORT=str(port), MICRO_PROXY="127.0.0.1:1").address == f"127.0.0.1:{port}"


def test_a_service_registers_itself_and_leaves_when_it_stops(sidecar, user, helloworld):
    registered = sidecar.registered["micro", "helloworld"]
    assert registered.nodes[0].address == helloworld.address
    assert (registered.protocol, registered.options.ttl, registered.version) == ("grpc", 90, "latest")
    assert helloworld.stop() == 0
    assert not sidecar.registered


def test_a_service_without_a_platform_serves_and_says_so(start):
    running = start(HELLOWORLD, MICRO_PROXY="127.0.0.1:1")
    assert "not registered: Failed to connect to micro server at 127.0.0.1:1" in running.process.stderr.readline()
    with grpc.insecure_channel(running.address) as channel:
        assert channel.unary_unary("/helloworld.Helloworld/Call")(b"") == b"\n\x06Hello "
    assert running.stop() == 0


def test_a_service_that_the_platform_started_does_not_register_itself(sidecar, start):
    running = start(HELLOWORLD, MICRO_SERVICE_ADDRESS="127.0.0.1:0", MICRO_PROXY=sidecar.address)
    assert running.stop() == 0
    assert not sidecar.calls


STUBS = """
import sys
sys.path[:0] = [{stubs!r}]
import greeter_pb2, greeter_pb2_grpc
from micro import Context, Service, errors

class Greeter(greeter_pb2_grpc.GreeterServicer):
    def SayHello(self, request, context):
        if request.name == "nobody":
            raise errors.NotFound("There is nobody.")
        if request.name == "abort":
            import grpc
            context.abort(grpc.StatusCode.ABORTED, "as you wish")
        return greeter_pb2.HelloReply(message=f"Hello {{request.name}} in {{Context.current().namespace}}")

    async def SayHelloOften(self, request, context):
        for number in range(2):
            yield greeter_pb2.HelloReply(message=f"{{number}} {{request.name}}")

service = Service("greet")
service.handle(Greeter())
service.run()
"""

PROTO = """
syntax = "proto3";
package example.greeter;
import "google/protobuf/timestamp.proto";
message HelloRequest { string name = 1; }
message HelloReply { string message = 1; google.protobuf.Timestamp at = 2; }
service Greeter {
  rpc SayHello(HelloRequest) returns (HelloReply);
  rpc SayHelloOften(HelloRequest) returns (stream HelloReply);
}
"""


def write_stubs(folder) -> None:
    """What protoc writes for PROTO, without protoc: the messages as it does, the stubs as it has done since 1.63."""
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name="greeter.proto", package="example.greeter", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    file.message_type.add(name="HelloRequest").field.add(name="name", number=1, type=9, label=1)
    reply = file.message_type.add(name="HelloReply")
    reply.field.add(name="message", number=1, type=9, label=1)
    reply.field.add(name="at", number=2, type=11, label=1, type_name=".google.protobuf.Timestamp")
    service = file.service.add(name="Greeter")
    types = {"input_type": ".example.greeter.HelloRequest", "output_type": ".example.greeter.HelloReply"}
    service.method.add(name="SayHello", **types)
    service.method.add(name="SayHelloOften", server_streaming=True, **types)
    (folder / "greeter_pb2.py").write_text(
        "from google.protobuf import descriptor_pool, timestamp_pb2\n"
        "from google.protobuf.internal import builder\n"
        f"DESCRIPTOR = descriptor_pool.Default().AddSerializedFile({file.SerializeToString()!r})\n"
        "builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())\n"
        "builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, 'greeter_pb2', globals())\n"
    )
    (folder / "greeter_pb2_grpc.py").write_text(
        "import grpc\nimport greeter_pb2\n"
        "class GreeterServicer(object):\n"
        "    def SayHello(self, request, context):\n        raise NotImplementedError()\n"
        "    def SayHelloOften(self, request, context):\n        raise NotImplementedError()\n"
        "def add_GreeterServicer_to_server(servicer, server):\n"
        "    handlers = {\n"
        "        'SayHello': grpc.unary_unary_rpc_method_handler(\n"
        "            servicer.SayHello, greeter_pb2.HelloRequest.FromString,\n"
        "            greeter_pb2.HelloReply.SerializeToString),\n"
        "        'SayHelloOften': grpc.unary_stream_rpc_method_handler(\n"
        "            servicer.SayHelloOften, greeter_pb2.HelloRequest.FromString,\n"
        "            greeter_pb2.HelloReply.SerializeToString),\n"
        "    }\n"
        "    generic = grpc.method_handlers_generic_handler('example.greeter.Greeter', handlers)\n"
        "    server.add_generic_rpc_handlers((generic,))\n"
        "    server.add_registered_method_handlers('example.greeter.Greeter', handlers)\n"
    )


def test_a_servicer_on_protocs_stubs_is_served_by_both_names_and_both_codecs(start, tmp_path):
    write_stubs(tmp_path)
    running = start(STUBS.format(stubs=str(tmp_path)), MICRO_SERVICE_ADDRESS="127.0.0.1:0")
    with grpc.insecure_channel(running.address) as channel:
        for path in ("/example.greeter.Greeter/SayHello", "/greet.Greeter/SayHello"):
            assert channel.unary_unary(path)(b"\n\x03Joe") == b"\n\x12Hello Joe in micro"
            reply = channel.unary_unary(path)(b'{"name": "Joe"}', metadata=JSON)
            assert json.loads(reply) == {"message": "Hello Joe in micro"}
        often = channel.unary_stream("/greet.Greeter/SayHelloOften")(b'{"name": "Joe"}', metadata=JSON)
        assert [json.loads(reply)["message"] for reply in often] == ["0 Joe", "1 Joe"]
        with pytest.raises(grpc.RpcError) as failure:
            channel.unary_unary("/greet.Greeter/SayHello")(b'{"name": "nobody"}', metadata=JSON)
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as failure:
            channel.unary_unary("/greet.Greeter/SayHello")(b'{"name": "abort"}', metadata=JSON)
        assert (failure.value.code(), failure.value.details()) == (grpc.StatusCode.ABORTED, "as you wish")
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        assert pool.FindServiceByName("example.greeter.Greeter").methods_by_name["SayHelloOften"].server_streaming


def test_watching_health_tells_of_the_stop(shop, channel):
    statuses = []
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())

    def follow() -> None:
        try:
            statuses.extend(reply.status for reply in watch)
        except grpc.RpcError as error:
            statuses.append(error.code())

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.3)
    assert shop.stop() == 0
    thread.join(5)
    assert statuses[:2] == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]


def test_the_client_calls_by_descriptors_and_by_json_frames(sidecar, user, helloworld, monkeypatch):
    monkeypatch.setenv("HOME", str(user.home))
    client = Client(sidecar.address)
    assert client.call("helloworld", "Helloworld.Call", {"name": "Joe"}) == {"msg": "Hello Joe"}
    assert sidecar.calls[-1][1]["x-content-type"] == "application/grpc+proto"
    sidecar.registered["micro", "helloworld"].descriptors = b""
    client = Client(sidecar.address)
    assert client.call("helloworld", "Helloworld.Call", {"name": "Joe"}) == {"msg": "Hello Joe"}
    assert sidecar.calls[-1][1]["x-content-type"] == "application/grpc+json"
    with pytest.raises(errors.Unimplemented):
        client.call("helloworld", "Helloworld.Nosuch")
    with pytest.raises(errors.NotFound, match="service nosuch: route not found"):
        client.call("nosuch", "Nosuch.Call")
    with pytest.raises(errors.InvalidArgument, match="malformed"):
        client.call("helloworld", "call")
    with pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:1"):
        Client("127.0.0.1:1").call("helloworld", "Helloworld.Call")
    client.close()


def test_a_services_own_account_is_exchanged_once_and_renewed(sidecar, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MICRO_AUTH_ID", "admin")
    monkeypatch.setenv("MICRO_AUTH_SECRET", "micro")
    from micro import registry

    client = Client(sidecar.address)
    for _ in range(3):
        assert registry.services(client=client) == []
    assert sum(path == "/auth.Auth/Token" for path, _ in sidecar.calls) == 1
    sidecar.token_life_s = 1
    client = Client(sidecar.address)
    registry.services(client=client)
    registry.services(client=client)
    assert sum(path == "/auth.Auth/Token" for path, _ in sidecar.calls) == 1 + 2
    assert not (tmp_path / ".micro" / "tokens").exists()
    client.close()


def test_a_namespace_of_its_own_goes_with_every_call_but_the_platforms(sidecar, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    client = Client(sidecar.address, namespace="shop")
    with pytest.raises(errors.NotFound):
        client.call("till", "Till.Open")
    assert sidecar.calls[-1][1]["micro-namespace"] == "shop"
    assert next(metadata for path, metadata in sidecar.calls if "GetService" in path)["micro-namespace"] == "micro"
    client.close()


def test_eventually_can_fail():
    with pytest.raises(AssertionError):
        eventually(lambda: False, within_s=0.05)
