"""A real Envoy with the product's own control plane, and callers for its three doors."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway import xds
from gateway.envoy import bootstrap
from gateway.resources import Resource, Resources
from gateway.state import Browsers, Doors, Service, State

from .backends import free_ports

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KID = "one"


def jwks(key: rsa.RSAPrivateKey = KEY, kid: str = KID) -> str:
    """The key set with the public half of `key`."""
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return json.dumps({"keys": [public | {"kid": kid, "alg": "RS256", "use": "sig"}]})


def token(issuer: str = "foo", *, key: Any = KEY, algorithm: str = "RS256", kid: str = KID, **claims: Any) -> str:
    """An access token; keyword arguments replace claims, None takes one out."""
    body = {
        "sub": "joe",
        "iss": issuer,
        "type": "user",
        "scopes": [],
        "name": "joe",
        "exp": datetime.now(UTC) + timedelta(minutes=5),
    } | claims
    kept = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid})


def wait_until(claim: Callable[[], Any], what: str, timeout_s: float = 15) -> Any:
    """What `claim` returns once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := claim()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s until {what}"
        time.sleep(0.02)
    return found


class Plane:
    """The control plane in a thread of its own."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.acks: list[xds.Ack] = []
        self.good: list[Resources] = []
        self.loop = asyncio.new_event_loop()
        self.plane = xds.ControlPlane(heard=self.acks.append, good=self.good.append)
        self._stop = asyncio.Event()
        started = threading.Event()

        async def serve() -> None:
            async with xds.serving(self.plane, socket):
                started.set()
                await self._stop.wait()

        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(serve()), daemon=True)
        self.thread.start()
        assert started.wait(5)

    def publish(self, state: State) -> None:
        asyncio.run_coroutine_threadsafe(self.plane.publish(state), self.loop).result(60)

    def offer(self, resources: Resources) -> None:
        asyncio.run_coroutine_threadsafe(self._call(self.plane.offer, resources), self.loop).result(30)

    def certify(self, secret: Resource) -> None:
        asyncio.run_coroutine_threadsafe(self._call(self.plane.certify, secret), self.loop).result(30)

    async def _call(self, function: Callable[[Any], None], argument: Any) -> None:
        function(argument)

    def acknowledged(self) -> int | None:
        return self.acks[-1].revision if self.acks and self.acks[-1].connected else None

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(5)


class Gateway:
    """Envoy in a folder and on ports of its own."""

    def __init__(self, *, concurrency: int = 2) -> None:
        self.concurrency = concurrency
        self.run = Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp"))
        self.doors = Doors(*(("127.0.0.1", port) for port in free_ports(3)))
        self.state = State(
            revision=1,
            doors=self.doors,
            base_domain="localhost",
            jwks=jwks(),
            sidecars=(str(self.run / "sidecar-0.sock"),),
            version="3.1.4",
            browsers=Browsers(
                origins=("https://a.example", "https://app.example"),
                hosts=("micro.example", ".lan.example"),
                dashboards=("app.localhost", "console.example"),
            ),
            namespaces=frozenset({"foo", "bar"}),
        )
        self.control: Plane | None = Plane(self.run / "xds.sock")
        self.envoy: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        document = bootstrap.bootstrap(node_id="test", pid=4321, run=self.run, heap_bytes=2**30)
        file = bootstrap.write(document, self.run / "envoy.json")
        with (self.run / "envoy.log").open("ab") as log:
            self.envoy = subprocess.Popen(bootstrap.command(file, concurrency=self.concurrency), stderr=log)

    def serve(self, *services: Service, **changes: Any) -> int:
        """Publish these services and wait until Envoy has acknowledged; the revision."""
        assert self.control
        self.state = replace(self.state, revision=self.state.revision + 1, services=services, **changes)
        self.control.publish(self.state)
        wait_until(
            lambda: self.control.acknowledged() == self.state.revision,
            f"revision {self.state.revision} is acknowledged",
        )
        return self.state.revision

    def stop_envoy(self) -> None:
        if self.envoy:
            self.envoy.send_signal(signal.SIGTERM)
            self.envoy.wait(10)
            self.envoy = None

    def close(self) -> None:
        self.stop_envoy()
        if self.control:
            self.control.stop()
        shutil.rmtree(self.run)

    def log_text(self) -> str:
        return (self.run / "envoy.log").read_text()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.doors.api[1]}"

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One request at the API gateway; `host` stands for the Host header."""
        headers = httpx.Headers(arguments.pop("headers", {})).multi_items()
        if host := arguments.pop("host", None):
            headers.append(("host", f"{host}:{self.doors.api[1]}"))
        with httpx.Client(timeout=20, trust_env=False) as client:
            return client.request(method, self.api + path, headers=headers, **arguments)

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("POST", path, **arguments)

    def admin(self, path: str) -> httpx.Response:
        """One request at Envoy's own interface."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.run / "envoy-admin.sock"))) as client:
            return client.get(f"http://envoy{path}")

    def admin_answers(self) -> bool:
        """Whether Envoy has started."""
        try:
            return self.admin("/server_info").status_code == 200
        except httpx.TransportError:
            return False

    @contextmanager
    def channel(self, door: str = "proxy", authority: str | None = None) -> Iterator[grpc.Channel]:
        port = getattr(self.doors, door)[1]
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),
        ]
        if authority:
            options.append(("grpc.default_authority", authority))
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            yield channel

    def call(
        self,
        path: str,
        data: bytes = b"",
        *,
        door: str = "proxy",
        authority: str | None = None,
        timeout_s: float = 10,
        **metadata: str,
    ) -> bytes:
        """One unary gRPC call with raw bytes; underscores in metadata names stand for dashes."""
        pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
        with self.channel(door, authority) as channel:
            return channel.unary_unary(path)(data, metadata=pairs, timeout=timeout_s)


def error_of(call: Callable[[], Any]) -> grpc.RpcError:
    """The gRPC error that `call` ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
