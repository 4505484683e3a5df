"""The processes as they are run: xds and Envoy, with a Postgres that comes and goes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from project.embedded import postgres

from .backends import Grpc, Http, free_ports
from .harness import alive, wait_until

ROOT = Path(__file__).parents[2]


class Platform:
    """A server's database, xds and Envoy; nothing else of it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gf-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.ports = free_ports(3)
        api, proxy, network = (f"127.0.0.1:{port}" for port in self.ports)
        self.url = f"postgresql://micro@/micro?host={self.folder / 'pg'}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "MICRO_HOME": str(self.folder / "home"),
            "MICRO_RUN": str(self.folder / "run"),
            "DATABASE_URL": self.url,
            "MICRO_API_ADDRESS": api,
            "MICRO_PROXY_ADDRESS": proxy,
            "MICRO_NETWORK_ADDRESS": network,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        postgres.initialise(self.folder / "data")
        self.start_postgres()
        psycopg.connect(self.url.replace("/micro?", "/postgres?"), autocommit=True).execute("CREATE DATABASE micro")
        self.manage("migrate_schemas", "--verbosity=0")
        self.python("from tenants.operations import *; bootstrap(admin_password='x'); create_namespace(slug='foo')")

    def start_postgres(self) -> None:
        self.processes["postgres"] = postgres.start(self.folder / "data", self.folder / "pg")

        def answers() -> bool:
            try:
                psycopg.connect(self.url.replace("/micro?", "/postgres?")).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(answers, "Postgres answers")

    def stop(self, name: str, how: int = signal.SIGTERM) -> float:
        """Stop a process; how long it took in seconds."""
        began = time.monotonic()
        process = self.processes.pop(name)
        process.send_signal(how)
        process.wait(10)
        return time.monotonic() - began

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), name], env=self.environment, cwd="/", stderr=log, stdout=log
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def manage(self, *arguments: str) -> None:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        subprocess.run(command, env=self.environment, check=True, cwd="/", capture_output=True)

    def python(self, code: str) -> str:
        """Run code as another process of the platform would; what it prints."""
        command = [sys.executable, str(ROOT / "manage.py"), "shell", "--no-imports", "-c", textwrap.dedent(code)]
        done = subprocess.run(command, env=self.environment, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def register(self, service: str, port: int, *, namespace: str = "foo", protocol: str = "http") -> None:
        """Register a replica, and wait until that revision is acknowledged."""
        answer = self.python(
            f"""
            import time
            from django.utils.timezone import now
            from primitives.registry import operations, records
            node = records.Node(id="{service}-{port}", host="127.0.0.1", port={port}, metadata={{}})
            r = operations.register(
                namespace="{namespace}", service="{service}", version="latest", protocol="{protocol}", node=node)
            until = time.monotonic() + 10
            while not operations.acknowledged(r, at=now()) and time.monotonic() < until:
                time.sleep(0.02)
            print(operations.acknowledged(r, at=now()))
            """
        )
        assert answer == "True", f"not acknowledged: {self.log('xds')}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=10) as client:
            return client.get(f"http://127.0.0.1:{self.ports[0]}{path}", headers=headers)

    def status(self, path: str) -> int:
        try:
            return self.get(path, **{"micro-namespace": "foo"}).status_code
        except httpx.TransportError:
            return 0

    def close(self) -> None:
        for name in list(self.processes):
            self.stop(name, signal.SIGINT if name == "postgres" else signal.SIGKILL)
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.close()


def test_a_registered_service_is_served_once_it_is_acknowledged_and_survives_all_that_may_be_away(
    platform: Platform, site: Http
):
    platform.start("envoy")
    platform.start("xds")
    platform.register("web", site.port)
    assert platform.status("/web/get") == 200

    # The acknowledgement names Envoy's own process.
    acks = "from primitives.registry.models import EnvoyAck; print(*EnvoyAck.objects.values_list('pid', flat=True))"
    assert platform.python(acks) == str(platform.processes["envoy"].pid)

    # The control plane is killed: traffic goes on; it comes back: changes are taken again.
    platform.stop("xds", signal.SIGKILL)
    assert [platform.status("/web/get") for _ in range(10)] == [200] * 10
    platform.start("xds")
    platform.register("second", site.port)
    assert platform.status("/second/get") == 200

    # Postgres goes away under both: traffic goes on.
    manifest = platform.folder / "home/xds/manifest.json"
    wait_until(manifest.exists, "the configuration is kept on disk")
    wait_until(lambda: "foo:second" in manifest.read_text(), "the last one is kept")
    platform.stop("postgres", signal.SIGINT)
    assert platform.status("/web/get") == 200

    # Envoy is restarted while it is away: the running control plane serves it.
    platform.stop("envoy", signal.SIGKILL)
    platform.start("envoy")
    wait_until(lambda: platform.status("/web/get") == 200, "a restarted Envoy serves")

    # All of it is restarted while it is away: the control plane serves from disk.
    for name in ("envoy", "xds"):
        platform.stop(name, signal.SIGKILL)
    platform.start("xds")
    platform.start("envoy")
    wait_until(lambda: platform.status("/second/get") == 200, "Envoy serves from disk")
    assert "from disk" in platform.log("xds")

    # Postgres is back: nobody has to restart anything.
    platform.start_postgres()
    platform.register("third", site.port)
    assert platform.status("/third/get") == 200


def test_a_new_namespace_is_served_at_once(platform: Platform, site: Http):
    assert platform.get("/x", **{"micro-namespace": "young"}).json()["detail"] == "There is no namespace young."
    platform.python("from tenants.operations import create_namespace; create_namespace(slug='young')")
    wait_until(
        lambda: "route not found" in platform.get("/x", **{"micro-namespace": "young"}).text, "it is there", timeout_s=3
    )


def test_an_own_domain_and_a_token_of_the_platforms_key_choose_the_namespace(platform: Platform, site: Http):
    token = platform.python(
        """
        import datetime, jwt, time
        from primitives.auth import keys
        signer = keys.signer()
        claims = {"sub": "joe", "iss": "foo", "exp": int(time.time()) + 60}
        print(jwt.encode(claims, signer.key, algorithm="RS256", headers={"kid": signer.kid}))
        from tenants.models import Domain, Namespace
        for host in ("Shop.Example", "*", "bad host"):
            Domain.objects.create(domain=host, tenant=Namespace.objects.get(slug="foo"))
        from gateway.operations import announce
        announce(Namespace.objects.get(slug="foo"))
        """
    )
    assert platform.get("/web/get", authorization=f"Bearer {token}").status_code == 200
    wait_until(lambda: platform.get("/web/get", host="shop.example").status_code == 200, "the domain is known")


def test_a_deregistered_service_is_gone_from_the_gateway(platform: Platform, site: Http):
    platform.register("brief", site.port)
    assert platform.status("/brief/get") == 200
    platform.python(
        "from primitives.registry.operations import deregister;"
        f"deregister(namespace='foo', node_ids=['brief-{site.port}'])"
    )
    wait_until(lambda: platform.status("/brief/get") == 404, "it is gone", timeout_s=3)


def test_grpc_reaches_the_platforms_own_services_on_the_sidecars_socket(platform: Platform):
    sidecar = Grpc(package="auth", handler="Auth", address=f"unix:{platform.folder / 'run' / 'sidecar-0.sock'}")
    platform.get("/auth/Auth/Token")
    assert sidecar.seen[-1][":path"] == "/auth.Auth/Token"
    sidecar.stop()


def test_the_files_and_sockets_are_their_owners_alone(platform: Platform):
    for path in ("run/xds.sock", "run/envoy-admin.sock", "home/envoy/bootstrap.json"):
        assert (platform.folder / path).stat().st_mode & 0o077 == 0, path


def test_both_stop_within_five_seconds_and_say_that_envoy_has_left(platform: Platform):
    pid = platform.processes["envoy"].pid
    assert platform.stop("envoy") < 5
    assert not alive(pid)
    connected = (
        "from primitives.registry.models import EnvoyAck; print(*EnvoyAck.objects.values_list('connected', flat=True))"
    )
    wait_until(lambda: platform.python(connected) == "False", "the registry knows that Envoy has left")
    platform.start("envoy")
    wait_until(lambda: platform.status("/web/get") == 200, "Envoy is back")
    assert platform.stop("xds") < 5
    assert platform.processes["envoy"].poll() is None


def test_a_changed_rule_acts_within_a_second(platform: Platform, site: Http):
    for name in {"envoy", "xds"} - platform.processes.keys():
        platform.start(name)
    platform.register("ruled", site.port)
    wait_until(lambda: platform.status("/ruled/get") == 200, "the service answers")
    took = []
    for change, expected in (
        ("create(Rule(id='closed', name='ruled', granted=False, priority=1), namespace='foo')", 401),
        ("delete(namespace='foo', id='closed')", 200),
    ) * 2:
        answer = platform.python(
            f"""
            import time
            from primitives.rules.access import Rule
            from primitives.rules.operations import create, delete
            {change}
            print(time.time())
            """
        )
        wait_until(lambda expected=expected: platform.status("/ruled/get") == expected, change)
        took.append(time.time() - float(answer))
    assert min(took) < 1, took  # it includes the end of the process that made the change
