"""What the log of a service holds of being probed at its start: at most the one request that any client might send."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from deploying import eventually

from runtime import launching, probes
from runtime.models import Deployment, Replica

HOST = "127.0.0.1"
GO = shutil.which("go") or "/usr/local/go/bin/go"
SERVING = "serving"  # the file whose presence makes a service say that it serves

WSGI = "def app(environ, start):\n    start('200 OK', [])\n    return [b'hello']\n"
WEB = {
    "http.server": ("-m", "http.server", "--bind", HOST, "{port}"),
    "http.server, HTTP/1.1": ("-m", "http.server", "--bind", HOST, "--protocol", "HTTP/1.1", "{port}"),
    "gunicorn": ("-m", "gunicorn", "--access-logfile", "-", "--bind", f"{HOST}:{{port}}", "app:app"),
}
GRPC = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

class Health(health_pb2_grpc.HealthServicer):
    def Check(self, request, context):
        return health_pb2.HealthCheckResponse(status=1 if os.path.exists("serving") else 2)

server = grpc.server(ThreadPoolExecutor(4))
if sys.argv[2:] == ["health"]:
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
"""
# Both versions of HTTP on one port, as gRPC's Go servers have them behind net/http; every request is logged.
BOTH = """
package main

import (
	"fmt"
	"net/http"
	"os"
)

func answer(w http.ResponseWriter, r *http.Request) {
	fmt.Println(r.Method, r.URL.Path, r.Proto)
	if r.ProtoMajor < 2 || len(os.Args) < 3 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	if r.URL.Path != "/grpc.health.v1.Health/Check" {
		w.Header().Set("Grpc-Status", "12")
		return
	}
	status := byte(2)
	if _, err := os.Stat("serving"); err == nil {
		status = 1
	}
	w.Write([]byte{0, 0, 0, 0, 2, 8, status})
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
}

func main() {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: http.HandlerFunc(answer), Protocols: protocols}
	panic(server.ListenAndServe())
}
"""


@dataclass
class Served:
    """A service that runs, or has run, in a folder."""

    port: int
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def serving(folder: Path, *command: str) -> Iterator[Served]:
    """A service of its own process; `{port}` in its command is where it listens."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    words = [word.format(port=port) for word in command]
    with (folder / "log").open("wb") as log:
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield Served(port, folder)
    finally:
        process.terminate()
        process.wait(20)


def first_answer(port: int, probe: probes.Probe) -> probes.Ready:
    """Asked again and again, as the runner does it."""
    deadline = time.monotonic() + 30
    while not (ready := probe.ask(HOST, port)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return ready


@pytest.mark.parametrize("server", WEB)
def test_a_web_server_has_one_request_in_its_log_and_no_complaint(server, tmp_path):
    (tmp_path / "app.py").write_text(WSGI)
    with serving(tmp_path, sys.executable, *WEB[server]) as served:
        assert first_answer(served.port, probes.Probe()) == probes.Ready("http")
    assert re.findall(r"[A-Z]+ \S+ HTTP/\d.*?\d{3}", served.log) == ['GET / HTTP/1.1" 200']
    assert not re.search("PRI|, message |WARNING|ERROR", served.log)


@pytest.mark.parametrize("suffix", [(), ("health",)])
def test_a_grpc_server_has_nothing_in_its_log(suffix, tmp_path):
    (tmp_path / SERVING).touch()
    (tmp_path / "main.py").write_text(GRPC)
    with serving(tmp_path, sys.executable, "main.py", "{port}", *suffix) as served:
        assert first_answer(served.port, probes.Probe()) == probes.Ready("grpc")
    assert served.log == ""


def test_a_grpc_server_that_does_not_serve_yet_is_asked_in_its_own_protocol_from_then_on(tmp_path):
    (tmp_path / "main.py").write_text(GRPC)
    probe = probes.Probe()
    with serving(tmp_path, sys.executable, "main.py", "{port}", "health") as served:
        eventually(lambda: socket.socket().connect_ex((HOST, served.port)) == 0)
        assert [probe.ask(HOST, served.port) for _ in range(5)] == [None] * 5
        (tmp_path / SERVING).touch()
        assert first_answer(served.port, probe) == probes.Ready("grpc")
    assert served.log == ""


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> str:
    """The program that speaks HTTP/1.1 and HTTP/2."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "main.go").write_text(BOTH)
    subprocess.run([GO, "build", "-o", "both", "main.go"], cwd=folder, check=True)
    return str(folder / "both")


def test_a_server_of_both_http_versions_that_speaks_grpc_is_found_out_by_one_request(both, tmp_path):
    probe = probes.Probe()
    with serving(tmp_path, both, "{port}", "grpc") as served:
        eventually(lambda: socket.socket().connect_ex((HOST, served.port)) == 0)
        assert [probe.ask(HOST, served.port) for _ in range(5)] == [None] * 5
        (tmp_path / SERVING).touch()
        assert first_answer(served.port, probe) == probes.Ready("grpc")
    requests = served.log.splitlines()
    assert requests[0] == "GET / HTTP/1.1"
    assert requests[1:7] == ["POST /grpc.health.v1.Health/Check HTTP/2.0"] * 6
    assert not [request for request in requests[7:] if "reflection" not in request]


def test_a_server_of_both_http_versions_without_grpc_is_http(both, tmp_path):
    with serving(tmp_path, both, "{port}") as served:
        assert first_answer(served.port, probes.Probe()) == probes.Ready("http")
    assert served.log.splitlines() == ["GET / HTTP/1.1", "POST /grpc.health.v1.Health/Check HTTP/2.0"]


@pytest.fixture
def slow(monkeypatch) -> Iterator[socket.socket]:
    """The socket of a server that accepts before it can work."""
    monkeypatch.setattr(probes, "ANSWER_TIMEOUT_S", 0.05)
    with socket.create_server((HOST, 0)) as listening:
        listening.settimeout(10)
        yield listening


def heard(listening: socket.socket) -> tuple[socket.socket, bytes]:
    """The next who has come, and what he asked."""
    connection, _ = listening.accept()
    connection.settimeout(10)
    return connection, connection.recv(4096).partition(b"\r\n")[0]


def is_alone(listening: socket.socket) -> bool:
    """Whether nobody else waits to be accepted."""
    listening.settimeout(0.2)
    try:
        listening.accept()
    except TimeoutError:
        return True
    return False


def test_a_server_that_answers_late_has_been_asked_once(slow):
    probe, port = probes.Probe(), slow.getsockname()[1]
    assert [probe.ask(HOST, port) for _ in range(5)] == [None] * 5
    connection, words = heard(slow)
    assert words == b"GET / HTTP/1.1"
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    connection.close()
    assert first_answer(port, probe) == probes.Ready("http")
    assert is_alone(slow)


def test_a_request_that_is_never_answered_is_followed_by_another_after_a_while(slow, monkeypatch):
    monkeypatch.setattr(probes, "PATIENCE_S", 0.1)
    probe, port = probes.Probe(), slow.getsockname()[1]
    deadline = time.monotonic() + 10
    asked = []
    slow.setblocking(False)
    while len(asked) < 3:
        assert time.monotonic() < deadline
        assert probe.ask(HOST, port) is None
        try:
            asked.append(slow.accept()[0])
        except BlockingIOError:
            continue
    assert {connection.recv(4096).partition(b"\r\n")[0] for connection in asked} == {b"GET / HTTP/1.1"}


def test_a_connection_that_ends_after_a_long_silence_is_no_sign_of_grpc(slow):
    probe, port = probes.Probe(), slow.getsockname()[1]
    assert probe.ask(HOST, port) is None
    heard(slow)[0].close()
    assert probe.ask(HOST, port) is None
    assert is_alone(slow)
    assert probe.ask(HOST, port) is None
    slow.settimeout(10)
    assert heard(slow)[1] == b"GET / HTTP/1.1"


LOGGING = """
import http.server, os
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.mark.django_db(transaction=True)
def test_the_first_log_of_a_deployed_script_has_one_request(platform, envoy, running):
    deployment = platform.deploy("web", {"main.py": LOGGING})
    assert (deployment.state, deployment.release.protocol) == (Deployment.State.LIVE, "http")
    replica = Replica.objects.across_namespaces().get(release=deployment.release)
    lines = launching.log_path(replica).read_text().splitlines()
    assert [line.partition('"')[2] for line in lines] == ['GET / HTTP/1.1" 200 -']
