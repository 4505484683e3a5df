"""Real servers behind the gateway: gRPC services with descriptors, and a plain HTTP/1.1 server."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from micro.channel import CODES
from micro.errors import NotFound

TEXT, INT64, BYTES = (
    descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_ports(count: int) -> list[int]:
    """As many, all different."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def descriptors(
    package: str, handler: str, *, methods: tuple[str, ...] = ("Call", "ListThings"), files: int = 1
) -> bytes:
    """A FileDescriptorSet with one service: unary methods, and the server stream `Count`."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}/{handler}.proto", package=package, syntax="proto3")
    request = file.message_type.add(name="Request")
    request.field.add(name="name", number=1, type=TEXT, label=1)
    request.field.add(name="count", number=2, type=INT64, label=1)
    request.field.add(name="full_name", number=3, type=TEXT, label=1)
    response = file.message_type.add(name="Response")
    for number, name in enumerate(("msg", "path", "metadata", "backend", "codec"), 1):
        response.field.add(name=name, number=number, type=TEXT, label=1)
    response.field.add(name="size", number=6, type=INT64, label=1)
    service = file.service.add(name=handler)
    for method in methods:
        service.method.add(name=method, input_type=f".{package}.Request", output_type=f".{package}.Response")
    service.method.add(
        name="Count", input_type=f".{package}.Request", output_type=f".{package}.Response", server_streaming=True
    )
    extra = [descriptor_pb2.FileDescriptorProto(name=f"{package}/extra{n}.proto") for n in range(files - 1)]
    return descriptor_pb2.FileDescriptorSet(file=[file, *extra]).SerializeToString()


def messages(descriptor_set: bytes, package: str) -> tuple[type, type]:
    """The classes Request and Response of `descriptors`."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file:
        pool.Add(file)
    found = [pool.FindMessageTypeByName(f"{package}.{name}") for name in ("Request", "Response")]
    return message_factory.GetMessageClass(found[0]), message_factory.GetMessageClass(found[1])


@dataclass
class Grpc:
    """A gRPC service that tells what reached it. Answers by what follows the last dot, in protobuf or JSON frames."""

    package: str = "greeter.v1"
    handler: str = "Helloworld"
    name: str = "one"
    port: int = 0
    address: str = "127.0.0.1:0"
    seen: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.descriptors = descriptors(self.package, self.handler)
        self.request_type, self.response_type = messages(self.descriptors, self.package)
        self.server = grpc.server(
            futures.ThreadPoolExecutor(16),
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        self.server.add_generic_rpc_handlers((_Handler(self),))
        self.port = self.server.add_insecure_port(self.address)
        self.server.start()

    @property
    def endpoint(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def stop(self) -> None:
        self.server.stop(0)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, backend: Grpc) -> None:
        self.backend = backend

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        service, _, method = details.method[1:].partition("/")
        if service.rpartition(".")[2] != self.backend.handler:
            return None
        metadata = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
        self.backend.seen.append(metadata | {":path": details.method})
        call = _Call(self.backend, details.method, metadata)
        if method == "Chat":
            return grpc.stream_stream_rpc_method_handler(call.chat)
        if method == "Count":
            return grpc.unary_stream_rpc_method_handler(call.stream)
        return grpc.unary_unary_rpc_method_handler(call.unary) if method in ("Call", "ListThings") else None


@dataclass
class _Call:
    backend: Grpc
    path: str
    metadata: dict[str, str]

    @property
    def is_json(self) -> bool:
        return "json" in self.metadata.get("x-content-type", "")

    def unary(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        name = _name(data, self.backend, self.is_json)
        if name == "missing":
            error = NotFound("No such person.", id="helloworld")
            context.abort(CODES[error.status], error.as_json())
        if name == "broken":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, 'plain "words"')
        return self._answer(name, len(data))

    def stream(self, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for _ in range(3):
            yield self._answer(_name(data, self.backend, self.is_json), len(data))
            time.sleep(0.3)

    def chat(self, pieces: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for data in pieces:
            yield self._answer(_name(data, self.backend, self.is_json), len(data))

    def _answer(self, name: str, size: int) -> bytes:
        facts = {
            "msg": name if len(name) > 1000 else f"Hello {name}",
            "path": self.path,
            "metadata": json.dumps(self.metadata),
            "backend": self.backend.name,
            "codec": "json" if self.is_json else "proto",
        }
        if self.is_json:
            return json.dumps(facts | {"size": str(size)}).encode()
        return self.backend.response_type(size=size, **facts).SerializeToString()


def _name(data: bytes, backend: Grpc, is_json: bool) -> str:
    return json.loads(data or b"{}").get("name", "") if is_json else backend.request_type.FromString(data).name


class Http:
    """A plain HTTP/1.1 server: /get tells what reached it; cookies, redirects, streams, uploads, a WebSocket echo."""

    def __init__(self, name: str = "web") -> None:
        self.name = name
        self.seen: list[tuple[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Http,), {"backend": self}))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def endpoint(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    backend: Http

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.backend.seen.append((self.command, self.path))
        path = self.path.partition("?")[0]
        origin = f"http://{self.headers['Host']}"
        match path:
            case "/cookies/set":
                self._answer(
                    302,
                    [
                        ("Location", "/cookies"),
                        ("Set-Cookie", "a=1; Path=/"),
                        ("Set-Cookie", "b=2; Path=/deep; HttpOnly"),
                    ],
                )
            case "/redirect/absolute":
                self._answer(302, [("Location", f"{origin}/get")])
            case "/redirect/elsewhere":
                self._answer(302, [("Location", "https://example.com/get")])
            case "/redirect/relative":
                self._answer(302, [("Location", "get")])
            case "/status/418":
                self._answer(418, [], b"teapot")
            case "/drip":
                self._drip()
            case "/ws":
                self._websocket()
            case _:
                facts = {
                    "method": self.command,
                    "path": self.path,
                    "headers": {k.lower(): v for k, v in self.headers.items()},
                }
                self._answer(200, [("Content-Type", "application/json"), *self._said()], json.dumps(facts).encode())

    def _said(self) -> list[tuple[str, str]]:
        """The headers that the query asks for: ?say-Set-Cookie=a"""
        fields = parse_qsl(self.path.partition("?")[2], keep_blank_values=True)
        return [(name.removeprefix("say-"), value) for name, value in fields if name.startswith("say-")]

    def do_OPTIONS(self) -> None:
        self._answer(204, [("Allow", "GET"), ("X-Mine", "yes")])

    def do_POST(self) -> None:
        self.backend.seen.append((self.command, self.path))
        if self.headers.get("Transfer-Encoding") == "chunked":
            size, first = self._read_chunks()
        else:
            size, first = len(self.rfile.read(int(self.headers.get("Content-Length", "0")))), 0.0
        self._answer(
            200, [("Content-Type", "application/json")], json.dumps({"size": size, "first_chunk_at": first}).encode()
        )

    def _read_chunks(self) -> tuple[int, float]:
        size, first = 0, 0.0
        while length := int(self.rfile.readline().strip(), 16):
            first = first or time.time()
            size += len(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return size, first

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(3):
            self.wfile.write(b"2\r\n%d\n\r\n" % n)
            self.wfile.flush()
            time.sleep(0.3)
        self.wfile.write(b"0\r\n\r\n")

    def _websocket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
        self.send_response(101)
        for said in self._said():
            self.send_header(*said)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        head = self.rfile.read(2)
        mask, payload = self.rfile.read(4), self.rfile.read(head[1] & 0x7F)
        text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        text = (self.headers.get("Cookie") or "none").encode() if text == b"cookies" else text
        self.wfile.write(bytes([0x81, len(text)]) + text)
        self.wfile.flush()
        self.close_connection = True
