"""The gateway against a bare Envoy, and with a thousand services.

Gate: JSON → gRPC through the gateway with a JWT, and with access rules as well, makes at least 0.7 of the requests per
second of a bare Envoy with a static transcoder before the same backend. All have one thread; rounds alternate, because
the machine has other work.
The rest is printed, Envoy's own time per request too: where the backend is the bottleneck, only that shows the cost.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc  # noqa: E402 - the folders above make what follows importable
import httpx  # noqa: E402
import psutil  # noqa: E402
import uvloop  # noqa: E402

from gateway import snapshot  # noqa: E402
from gateway.descriptors import transcoder  # noqa: E402
from gateway.envoy import bootstrap  # noqa: E402
from gateway.resources import TYPES  # noqa: E402
from gateway.state import Service  # noqa: E402
from primitives.rules.access import Book, Rule  # noqa: E402
from tests.gateway import backends  # noqa: E402
from tests.gateway.harness import Gateway, token, wait_until  # noqa: E402

GATE = 0.7
CONNECTIONS = 16
ROUNDS = 9
ROUND_S = 2.0
BODY = b'{"name": "Joe"}'
PATH = "/helloworld/call"
MIB = 1024 * 1024
DESCRIPTORS = backends.descriptors("helloworld", "Helloworld")
RULES = Book.of(
    "bar",
    [
        Rule("admins", scope="admin", name="helloworld", priority=4),
        Rule("closed", name="helloworld", endpoint="Helloworld.ListThings", granted=False, priority=3),
        Rule("pages", scope="+", name="helloworld", endpoint="/public/*", priority=2),
        Rule("own", scope="*", name="helloworld", priority=1),
    ],
)


class Load(asyncio.Protocol):
    """One connection that sends a request as soon as the last one was answered."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.latencies: list[float] = []
        self.failures = 0
        self.rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        head, separator, body = self.rest.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self.latencies.append(time.perf_counter() - self.sent_at)
            self.failures += not head.startswith(b"HTTP/1.1 200")
            self.rest = b""
            self.send()


def drive(port: int, headers: dict[str, str]) -> tuple[float, float, int]:
    """Requests per second, the median latency in ms, and failures, of one round."""
    lines = [f"POST {PATH} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
    lines += [f"content-length: {len(BODY)}", *(f"{name}: {value}" for name, value in headers.items())]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + BODY

    async def run() -> tuple[float, float, int]:
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(lambda: Load(request), "127.0.0.1", port) for _ in range(CONNECTIONS)]
        await asyncio.sleep(ROUND_S)
        for transport, _ in made:
            transport.abort()
        loads = [load for _, load in made]
        latencies = [latency for load in loads for latency in load.latencies]
        failures = sum(load.failures for load in loads)
        return len(latencies) / ROUND_S, statistics.median(latencies) * 1000, failures

    return uvloop.run(run())


def serve_backend(port: int) -> None:
    """The echo: grpcio asyncio on uvloop."""
    request_type, response_type = backends.messages(DESCRIPTORS, "helloworld")

    async def call(request: Any, _context: Any) -> Any:
        return response_type(msg=f"Hello {request.name}")

    async def run() -> None:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=request_type.FromString, response_serializer=response_type.SerializeToString
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("helloworld.Helloworld", {"Call": handler}),)
        )
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()

    uvloop.run(run())


def bare_envoy(port: int, backend: int, folder: Path) -> subprocess.Popen[bytes]:
    """An Envoy with a transcoder and a router, from a file."""
    kinds = "type.googleapis.com/envoy.extensions.filters"
    config = transcoder("helloworld", DESCRIPTORS)
    transcoding = {
        "@type": f"{kinds}.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor_bin": base64.b64encode(config.proto_descriptor_bin).decode(),
        "services": list(config.services),
        "match_incoming_request_route": True,
    }
    manager = {
        "@type": f"{kinds}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "echo"}}]}
            ]
        },
        "http_filters": [
            {"name": "transcoder", "typed_config": transcoding},
            {"name": "router", "typed_config": {"@type": f"{kinds}.http.router.v3.Router"}},
        ],
    }
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {"@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}

    def at(address: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": address}}

    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    cluster = {
        "name": "echo",
        "type": "STATIC",
        "typed_extension_protocol_options": {options: http2},
        "load_assignment": {
            "cluster_name": "echo",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(backend)}}]}],
        },
    }
    document = {
        "static_resources": {
            "listeners": [{"name": "bare", "address": at(port), "filter_chains": [chain]}],
            "clusters": [cluster],
        }
    }
    file = bootstrap.write(document, folder / "bare.json")
    return subprocess.Popen(bootstrap.command(file, concurrency=1), stderr=subprocess.DEVNULL)


def answers(port: int, headers: dict[str, str]) -> bool:
    """Whether the echo comes back."""
    try:
        answer = httpx.post(f"http://127.0.0.1:{port}{PATH}", json={"name": "Joe"}, headers=headers, trust_env=False)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["msg"] == "Hello Joe"


def measure(port: int, headers: dict[str, str], envoy: psutil.Process) -> tuple[float, float, int, float]:
    """A round of `drive`, and Envoy's processor time per request in µs."""
    before = sum(envoy.cpu_times()[:2])
    rate, latency, failures = drive(port, headers)
    return rate, latency, failures, (sum(envoy.cpu_times()[:2]) - before) / (rate * ROUND_S) * 1e6


def compare(gateway: Gateway, backend: int, bare: int, bare_pid: int) -> bool:
    """Print the throughputs and their ratios; False when a gate is missed or a request failed."""
    services = [Service(slug, "helloworld", "grpc", (("127.0.0.1", backend),), DESCRIPTORS) for slug in ("foo", "bar")]
    gateway.serve(*services, books={"bar": RULES})
    assert gateway.envoy
    door, envoy = gateway.doors.api[1], psutil.Process(gateway.envoy.pid)

    def bearer(namespace: str) -> dict[str, str]:
        return {"authorization": f"Bearer {token(namespace, exp=int(time.time()) + 3600)}"}

    sides = {
        "bare Envoy, static transcoder": (bare, {}, psutil.Process(bare_pid)),
        "gateway, JWT": (door, bearer("foo"), envoy),
        "gateway, JWT and four rules": (door, bearer("bar"), envoy),
    }
    for port, sent, _ in sides.values():
        wait_until(lambda port=port, sent=sent: answers(port, sent), f"{port} answers")
        drive(port, sent)
    rounds = [{name: measure(*side) for name, side in sides.items()} for _ in range(ROUNDS)]
    for name in sides:
        rates, latencies, failures, costs = zip(*(each[name] for each in rounds), strict=True)
        rate, latency, cost = (statistics.median(each) for each in (rates, latencies, costs))
        figures = f"{rate:8.0f} /s    p50 {latency:6.2f} ms    Envoy {cost:4.0f} µs each    failed {sum(failures)}"
        print(f"{name:<46} {figures}", flush=True)
    before, *afters = sides
    is_met = not any(each[name][2] for each in rounds for name in sides)
    for after in afters:
        ratio = statistics.median(each[after][0] / each[before][0] for each in rounds)
        verdict = "" if ratio >= GATE else f"  MISSED by {GATE - ratio:.2f}"
        print(f"{after + ' / bare Envoy':<46} {ratio:8.2f}       gate >= {GATE}{verdict}", flush=True)
        is_met = is_met and ratio >= GATE
    return is_met


def scale(gateway: Gateway, backend: int, count: int) -> None:
    """Print what a change costs when there are `count` services in one namespace."""
    assert gateway.envoy
    envoy = psutil.Process(gateway.envoy.pid)
    before = envoy.memory_info().rss
    names = [f"service-{n}" for n in range(count)]
    services = tuple(Service("foo", name, "grpc", (("127.0.0.1", backend),), DESCRIPTORS) for name in names)
    began = time.perf_counter()
    snapshot.build(replace(gateway.state, services=services))
    built = time.perf_counter()
    snapshot.build(replace(gateway.state, services=services))
    print(f"{f'{count} services: build, first time':<46} {built - began:8.2f} s")
    print(f"{f'{count} services: build, nothing changed':<46} {(time.perf_counter() - built) * 1000:8.0f} ms")
    began = time.perf_counter()
    gateway.serve(*services)
    print(f"{f'{count} services: all acknowledged':<46} {time.perf_counter() - began:8.2f} s")
    print(f"{f'{count} services: Envoy grew by':<46} {(envoy.memory_info().rss - before) / MIB:8.0f} MiB")
    size = sum(len(each.value) for kind in TYPES for each in snapshot.build(gateway.state)[kind].values())
    print(f"{f'{count} services: size of it all':<46} {size / MIB:8.1f} MiB")
    moved = (replace(services[0], endpoints=(("127.0.0.1", backend), ("127.0.0.1", backend + 1))), *services[1:])
    for what, changed in (
        ("one replica more", moved),
        ("one service more", (*moved, replace(services[0], name="fresh"))),
    ):
        began = time.perf_counter()
        gateway.serve(*changed)
        print(f"{f'{count} services: {what}, acknowledged':<46} {(time.perf_counter() - began) * 1000:8.0f} ms")


def main() -> int:
    """Run it all; 1 when the gate is missed."""
    port, bare = backends.free_port(), backends.free_port()
    gateway = Gateway(concurrency=1)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        backend = subprocess.Popen([sys.executable, __file__, "--backend", str(port)])
        other = bare_envoy(bare, port, Path(folder))
        try:
            gateway.start()
            passed = compare(gateway, port, bare, other.pid)
            scale(gateway, port, 1000)
        finally:
            for process in (backend, other):
                process.terminate()
                process.wait(10)
            gateway.close()
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.backend:
        serve_backend(arguments.backend)
    else:
        sys.exit(main())
