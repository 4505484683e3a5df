"""What runs on the machine without Micro is called by a name: `micro service`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from server import MICRO, Server, eventually, free_ports

GREETER = """
import sys
from concurrent import futures

import grpc
from grpc_reflection.v1alpha import reflection

greet_pb2, greet_pb2_grpc = grpc.protos_and_services("greet.proto")


class Greeter(greet_pb2_grpc.GreeterServicer):
    def Hello(self, request, context):
        return greet_pb2.Response(msg=f"Hello {request.name}")


server = grpc.server(futures.ThreadPoolExecutor(4))
greet_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
reflection.enable_server_reflection(["greet.v1.Greeter", reflection.SERVICE_NAME], server)
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
"""
PROTO = """
syntax = "proto3";
package greet.v1;
message Request { string name = 1; }
message Response { string msg = 1; }
service Greeter { rpc Hello(Request) returns (Response); }
"""
WITHIN_S = 30


@contextmanager
def started(*command: str | Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process of ours, ended with the block."""
    process = subprocess.Popen([*map(str, command)], text=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def beside(server: Server):
    def beside(*args: str):
        return started(MICRO, "service", *args, env=server.client_env, stderr=subprocess.DEVNULL)

    return beside


def names(server: Server) -> list[str]:
    return server.micro("services").stdout.split()


def test_a_grpc_server_without_micro_is_a_command_for_as_long_as_it_lives(server, beside, tmp_path):
    (tmp_path / "greet.proto").write_text(PROTO)
    (tmp_path / "main.py").write_text(GREETER)
    (port,) = free_ports(1)
    greeter = [sys.executable, "main.py", str(port)]
    with beside("--name", "neighbour", "--endpoint", f"grpc://127.0.0.1:{port}") as registering:
        with started(*greeter, cwd=tmp_path):
            eventually(lambda: "neighbour" in names(server), WITHIN_S, "the gRPC server is registered")
            called = lambda: server.micro("neighbour", "hello", "--name=Joe", check=False).stdout  # noqa: E731
            eventually(lambda: called() == '{\n\t"msg": "Hello Joe"\n}\n', WITHIN_S, "its method answers")
        eventually(lambda: "neighbour" not in names(server), WITHIN_S, "the dead server is taken out")
        with started(*greeter, cwd=tmp_path):
            eventually(lambda: "neighbour" in names(server), WITHIN_S, "the server that is back is registered")
            registering.send_signal(signal.SIGINT)
            assert registering.wait(WITHIN_S) == 0
            assert "neighbour" not in names(server)


def test_an_http_server_is_reached_at_the_gateway_and_its_exit_code_is_the_commands(server, beside, tmp_path):
    (tmp_path / "hello.txt").write_text("Hello from beside")
    (port,) = free_ports(1)
    web = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path))
    with beside("--name", "pages", "--endpoint", f"http://127.0.0.1:{port}", *web) as registering:
        shown = lambda: server.get("/pages/hello.txt").text  # noqa: E731
        eventually(lambda: shown() == "Hello from beside", WITHIN_S, "the gateway shows its page")
        registering.terminate()
        assert registering.wait(WITHIN_S) == 128 + signal.SIGTERM
    assert "pages" not in names(server)


def test_a_folder_is_a_site_at_the_gateway_and_its_name_is_not_run_meanwhile(server, beside, tmp_path):
    (tmp_path / "css").mkdir()
    (tmp_path / "index.html").write_text("home")
    (tmp_path / "css" / "site.css").write_text("p {}")
    (tmp_path / ".env").write_text("SECRET")
    with beside("--name", "leaflet", "--endpoint", f"file://{tmp_path}") as serving:
        eventually(lambda: server.get("/leaflet/").text == "home", WITHIN_S, "the gateway shows the folder")
        style = server.get("/leaflet/css/site.css")
        assert (style.text, style.headers["content-type"]) == ("p {}", "text/css")
        assert server.get("/leaflet/css").headers["location"] == "/leaflet/css/"
        assert [server.get(f"/leaflet/{path}").status_code for path in ("css/", ".env", "nosuch")] == [404] * 3
        assert "leaflet speaks HTTP" in server.micro("leaflet", "--help").stdout
        refused = server.micro("run", "--name", "leaflet", tmp_path, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert (
            "The name leaflet is registered by something that the platform does not run, at 127.0.0.1:"
            in refused.stderr
        )
        assert not server.status("leaflet")
        serving.send_signal(signal.SIGINT)
        assert serving.wait(WITHIN_S) == 0
    server.micro("run", "--name", "leaflet", tmp_path)
    eventually(lambda: server.get("/leaflet/").text == "home", WITHIN_S, "the platform shows the same folder")
    assert server.get("/leaflet/.env").status_code == 404
    server.micro("kill", "leaflet")


def test_a_program_answers_requests_at_the_gateway(server, beside, tmp_path):
    program = tmp_path / "report"
    program.write_text('#!/bin/sh\n[ "$PATH_INFO" = /fail ] && { echo "no paper" >&2; exit 3; }\nwc -c\n')
    program.chmod(0o755)
    with beside("--name", "report", "--endpoint", f"exec://{program}"):
        eventually(lambda: "report" in names(server), WITHIN_S, "the program is registered")
        eventually(lambda: server.get("/report/").status_code == 200, WITHIN_S, "the gateway runs it")

        def sent(size: int, *, in_pieces: bool = False) -> httpx.Response:
            body = (b"x" * 65536 for _ in range(size // 65536)) if in_pieces else b"x" * size
            return httpx.post(f"http://127.0.0.1:{server.api_port}/report/", content=body, timeout=WITHIN_S)

        assert [sent(4 << 20).json(), sent(4 << 20, in_pieces=True).json()] == [4 << 20] * 2
        assert [sent(5 << 20).status_code, sent(5 << 20, in_pieces=True).status_code] == [413] * 2
        failed = server.get("/report/fail")
        assert (failed.status_code, failed.json()["detail"]) == (500, "report ended with status 3: no paper")
