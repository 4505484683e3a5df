"""What stands behind a port."""

from __future__ import annotations

import http.server
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from micro.proto import runtime_pb2  # noqa: F401 - its descriptors are offered
from runtime import probes

HOST = "127.0.0.1"


@contextmanager
def grpc_server(*, healthy: bool | None = None, reflects: bool = False) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(4))
    if healthy is not None:
        servicer = health.HealthServicer()
        status = health_pb2.HealthCheckResponse.SERVING if healthy else health_pb2.HealthCheckResponse.NOT_SERVING
        servicer.set("", status)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if reflects:
        names = ("runtime.Runtime", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, descriptor_pool.Default())
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


@contextmanager
def http_server() -> Iterator[int]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer((HOST, 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silent_server() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def talking_server(words: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that says the same to everybody, and what it heard."""
    heard: list[bytes] = []

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(4096))
            self.request.sendall(words)

    with socketserver.ThreadingTCPServer((HOST, 0), Talk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], heard
        finally:
            server.shutdown()


def test_a_port_nobody_listens_on_is_not_ready():
    with silent_server() as port:
        pass
    assert probes.Probe().ask(HOST, port) is None
    assert probes.Probe("http").ask(HOST, port) is None
    assert probes.Probe("grpc").ask(HOST, port) is None


@pytest.mark.parametrize("protocol", ["", "grpc"])
def test_a_healthy_grpc_server_is_ready_and_gives_its_descriptors(protocol):
    with grpc_server(healthy=True, reflects=True) as port:
        ready = probes.Probe(protocol).ask(HOST, port)
    assert ready
    assert ready.protocol == "grpc"
    files = FileDescriptorSet.FromString(ready.descriptors).file
    assert {service.name for file in files for service in file.service} >= {"Build", "Runtime", "Source"}


def test_descriptors_come_after_what_they_need():
    with grpc_server(reflects=True) as port:
        ready = probes.Probe().ask(HOST, port)
    assert ready
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(ready.descriptors).file:
        pool.Add(file)
    assert pool.FindServiceByName("runtime.Runtime")


@pytest.mark.parametrize("protocol", ["", "grpc"])
def test_a_grpc_server_without_health_and_reflection_is_ready(protocol):
    with grpc_server() as port:
        assert probes.Probe(protocol).ask(HOST, port) == probes.Ready("grpc")


def test_a_grpc_server_that_says_it_does_not_serve_is_not_ready():
    with grpc_server(healthy=False) as port:
        assert probes.Probe().ask(HOST, port) is None


@pytest.mark.parametrize("protocol", ["", "http"])
def test_an_http_server_is_http(protocol):
    with http_server() as port:
        assert probes.Probe(protocol).ask(HOST, port) == probes.Ready("http")


@pytest.mark.parametrize("protocol", ["", "http", "grpc"])
def test_a_port_that_accepts_while_nobody_answers_is_not_ready(protocol, monkeypatch):
    monkeypatch.setattr(probes, "ANSWER_TIMEOUT_S", 0.2)
    monkeypatch.setattr(probes, "PAGE_TIMEOUT_S", 0.2)
    with silent_server() as port:
        assert probes.Probe(protocol).ask(HOST, port) is None


@pytest.mark.parametrize("protocol", ["", "http"])
@pytest.mark.parametrize(
    ("words", "is_ready"),
    [
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", True),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", True),
        (b"-ERR unknown command 'GET'\r\n", False),
        (b"", False),
    ],
)
def test_any_status_line_is_an_answer_and_nothing_else_is(words, is_ready, protocol):
    with talking_server(words) as (port, _heard):
        assert probes.Probe(protocol).ask(HOST, port) == (probes.Ready("http") if is_ready else None)


def test_a_server_known_to_speak_http_is_asked_one_request_and_nothing_else():
    with talking_server(b"HTTP/1.1 200 OK\r\n\r\n") as (port, heard):
        probes.Probe("http").ask(HOST, port)
    assert [words.split(b"\r\n")[0] for words in heard] == [b"GET / HTTP/1.1"]


def test_a_page_is_heard_out_so_that_its_server_has_nothing_to_complain_of():
    complaints: list[object] = []

    class SlowPage(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            for _ in range(5):
                self.wfile.write(b"x" * 1000)
                time.sleep(0.02)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    class Complaining(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            complaints.append(sys.exception())

    server = Complaining((HOST, 0), SlowPage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert probes.Probe("http").ask(HOST, server.server_address[1]) == probes.Ready("http")
    server.shutdown()
    server.server_close()  # waits for the threads of requests
    assert complaints == []
