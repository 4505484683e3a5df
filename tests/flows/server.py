"""A real `micro server` of the tests' own: own state, own ports, own client home, started and stopped like a user's."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

ROOT = Path(__file__).parents[2]
MICRO = Path(sys.executable).with_name("micro")
PASSED_ON = (
    "PATH",
    "LANG",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "CI",
)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def command_line(process: psutil.Process) -> str:
    """A process' command line; blank when it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@dataclass
class Server:
    """One server: `home` is its MICRO_HOME, `client_home` the HOME of its user."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.home = self.folder / "state"
        self.client_home = self.folder / "user"
        self.client_home.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "server.log"
        self.api_port, self.proxy_port, self.network_port, self.web_port = free_ports(4)

    @property
    def env(self) -> dict[str, str]:
        """The environment of the server's own process."""
        return {
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            "HOME": str(self.client_home),
            "MICRO_SERVER": str(ROOT),
            "MICRO_HOME": str(self.home),
            "MICRO_API_ADDRESS": f"127.0.0.1:{self.api_port}",
            "MICRO_PROXY_ADDRESS": f"127.0.0.1:{self.proxy_port}",
            "MICRO_NETWORK_ADDRESS": f"127.0.0.1:{self.network_port}",
            "MICRO_WEB_ADDRESS": f"127.0.0.1:{self.web_port}",
            "MICRO_BACKEND": "process",
            **self.environment,
        }

    @property
    def client_env(self) -> dict[str, str]:
        """The environment of a user's shell that talks to this server."""
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {**passed, "HOME": str(self.client_home), "MICRO_PROXY": f"127.0.0.1:{self.proxy_port}"}

    def start(self, timeout_s: float = 180) -> None:
        """Start it and wait until it says that it is ready."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [MICRO, "server"],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self.process.poll() is not None:
                raise AssertionError(f"The server ended with {self.process.returncode}:\n{self.log.read_text()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"The server is not ready after {timeout_s} s:\n{self.log.read_text()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether web and gateway answer."""
        try:
            web = httpx.get(f"http://127.0.0.1:{self.web_port}/healthz", timeout=2)
            api = httpx.get(f"http://127.0.0.1:{self.api_port}/", timeout=2)
        except httpx.HTTPError:
            return False
        return web.status_code == api.status_code == 200

    def stop(self) -> float:
        """Stop it as Ctrl-C does; the seconds it took."""
        assert self.process
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        return time.monotonic() - started

    def forget(self) -> None:
        """Remove its database, which lies outside its folder when it runs as root."""
        shutil.rmtree((self.home / "postgres").resolve(), ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to this server, its replicas included, wherever it hangs in the tree."""
        below = psutil.Process(self.process.pid).children(recursive=True) if self.is_running() else []
        tree = {process.pid for process in below}
        return [process for process in psutil.process_iter() if process.pid in tree or self._owns(process)]

    def is_running(self) -> bool:
        """Whether the process that was started is still there."""
        return self.process is not None and self.process.poll() is None

    def _owns(self, process: psutil.Process) -> bool:
        try:
            traces = [*process.environ().values(), process.cwd(), " ".join(process.cmdline())]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            return False
        return any(str(self.home) in trace for trace in traces)

    def replicas(self, service: str) -> list[psutil.Process]:
        """The first process of each replica of `service`: those whose parent belongs to no replica of it."""
        own = {p.pid: p for p in self.processes() if environment(p).get("MICRO_SERVICE_NAME") == service}
        return [process for process in own.values() if process.ppid() not in own]

    def named(self, part: str) -> list[psutil.Process]:
        """This server's processes whose command line holds `part`."""
        return [process for process in self.processes() if part in command_line(process)]

    def micro(
        self, *args: str | Path, check: bool = True, timeout_s: float = 180, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line as this server's user; with `check`, a status other than 0 fails the test."""
        done = subprocess.run(
            [MICRO, *map(str, args)],
            check=False,
            cwd=cwd or ROOT,
            env=self.client_env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
        if check:
            assert done.returncode == 0, (
                f"micro {' '.join(map(str, args))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def call(self, service: str, endpoint: str, request: dict[str, object]) -> dict[str, object]:
        """The answer of `micro call`."""
        return json.loads(self.micro("call", service, endpoint, json.dumps(request)).stdout)

    def user_of(self, namespace: str, secret: str) -> Server:
        """The same server as another user sees it: one with a home of their own, who works in another namespace."""
        account = {"id": "owner", "secret": secret, "scopes": ["admin"]}
        self.call("auth", "Auth.Generate", {**account, "options": {"namespace": namespace}})
        return self.logged_in(namespace, "owner", secret, home=namespace)

    def logged_in(self, namespace: str, username: str, secret: str, *, home: str) -> Server:
        """The same server as an account that there is already sees it, from a home of its own."""
        other = copy.copy(self)
        other.client_home = self.folder / home
        other.client_home.mkdir()
        other.micro("user", "namespace", "set", namespace)
        other.micro("login", "--username", username, "--password", secret)
        return other

    def login(self) -> None:
        """Log in as the local profile's admin."""
        self.micro("login", "--username", "admin", "--password", "micro")

    def status(self, name: str) -> str:
        """The status word of a service; blank when there is no such service."""
        for line in self.micro("status", name).stdout.splitlines()[1:]:
            fields = line.split("\t")
            if fields[0] == name:
                return fields[3]
        return ""

    def rest(self, method: str, path: str, token: str, body: object = None) -> httpx.Response:
        """A request to the web process with a bearer token."""
        sent = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, f"http://127.0.0.1:{self.web_port}{path}", headers=sent, json=body, timeout=20)

    def get(self, path: str, *, host: str = "", headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """An HTTP request through the API gateway, by path or on a host."""
        sent = {**(headers or {}), **({"Host": f"{host}:{self.api_port}"} if host else {})}
        return httpx.get(f"http://127.0.0.1:{self.api_port}{path}", headers=sent, timeout=20, **more)


Kind = TypeVar("Kind", bound=Server)


@contextmanager
def running_server(folder: Path, *, kind: type[Kind] = Server, **environment: str) -> Iterator[Kind]:  # type: ignore[assignment]
    """A started server, logged in to; stopped at the end whatever happens."""
    server = kind(folder, environment)
    try:
        server.start()
        server.login()
        yield server
    finally:
        if server.process and server.process.poll() is None:
            server.stop()
        server.forget()


def anywhere(mark: str) -> list[psutil.Process]:
    """The processes of this machine, those in containers included, whose command line holds `mark`."""
    return [process for process in psutil.process_iter() if mark in command_line(process)]


def environment(process: psutil.Process) -> dict[str, str]:
    """The environment of a process; empty when it is gone."""
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return {}


def eventually(claim: object, within_s: float, what: str) -> None:
    """Fail unless `claim()` becomes true in time."""
    deadline = time.monotonic() + within_s
    while not claim():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"Not within {within_s} s: {what}"
        time.sleep(0.05)
