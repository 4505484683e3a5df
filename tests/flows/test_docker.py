"""What only containers have: every language from its image, an engine that goes away, walls on every side, limits."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import engines
import psutil
import pytest
from docker_server import DockerServer
from languages import FLASK, SOURCES
from load import Load
from server import MICRO, ROOT, Server, anywhere, eventually

pytestmark = pytest.mark.backends("docker")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("name", SOURCES)
def test_a_repository_in_any_language_becomes_a_running_container(name, server, git):
    files, words = SOURCES[name]
    git.commit(name, files)
    server.micro("run", git.url(name), timeout_s=300)
    assert server.status(name) == "running"
    assert server.get("/", host=f"{name}--micro.localhost").text.strip() == words
    if name == "static":
        assert server.get("/.env", host="static--micro.localhost").status_code == 404
    assert len(server.replicas(name)) == 1
    server.micro("kill", name)
    eventually(lambda: server.replicas(name) == [], 8, "the killed service's container is gone")


def test_a_new_service_deploys_as_it_stands(server, tmp_path):
    """In Node: in Go its image takes a minute to build, and Python's is that of any service of the framework."""
    server.micro("new", "a-node", "--lang", "node", cwd=tmp_path)
    server.micro("run", "a-node", cwd=tmp_path, timeout_s=300)
    assert json.loads(server.micro("a-node", "call", "--name=Joe").stdout) == {"msg": "Hello Joe"}
    assert "Who is greeted." in server.micro("a-node", "call", "--help").stdout
    server.micro("kill", "a-node")


def test_an_update_under_load_loses_no_request_and_replaces_the_container(server, tmp_path):
    write(tmp_path / "app", FLASK)
    server.micro("run", tmp_path / "app", timeout_s=300)
    before = server.replicas("app")
    (tmp_path / "app" / "app.py").write_text(FLASK["app.py"].replace("flask'", "update'"))
    with Load(f"http://127.0.0.1:{server.api_port}/", host=f"app--micro.localhost:{server.api_port}") as load:
        server.micro("update", tmp_path / "app", timeout_s=300)
        eventually(lambda: not set(before) & set(server.replicas("app")), 20, "the old container is gone")
    assert load.failures == []
    assert server.get("/", host="app--micro.localhost").text == "hello from update"
    server.micro("kill", "app")


def test_a_killed_runner_and_a_killed_engine_lose_no_request_and_no_container(server):
    server.micro("run", "examples/web", timeout_s=300)
    before = server.replicas("web")
    host = f"web--micro.localhost:{server.api_port}"
    with Load(f"http://127.0.0.1:{server.api_port}/", host=host) as load:
        for process in server.named("manage.py runner"):
            process.kill()
        time.sleep(4)
        if mine := engines.own():
            mine.kill()
            time.sleep(2)
            subprocess.run([engines.ENGINE / "up"], check=True, capture_output=True)
        time.sleep(4)
        assert server.replicas("web") == before
        server.micro("update", "examples/web", timeout_s=300)
    assert load.failures == []
    assert server.status("web") == "running"
    server.micro("kill", "web")


SERVES = """
import http.server, os
http.server.HTTPServer(("", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@contextmanager
def cancelled_update(server: DockerServer, folder: Path, files: dict[str, str]) -> Iterator[None]:
    """Updates a service that runs to what never gets far; its `with` block waits for the moment to cancel it.

    Raises AssertionError unless the deployment ends as cancelled, nothing of it is left, and the old version serves.
    """
    name = folder.name
    server.micro("run", write(folder, {"main.py": SERVES}), timeout_s=300)
    replicas, images = server.replicas(name), server.images()
    with subprocess.Popen(
        [MICRO, "update", write(folder, files)], cwd=ROOT, env=server.client_env, stderr=subprocess.PIPE, text=True
    ) as waiting:
        yield
        server.micro("cancel", name)
        _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert said.endswith(f"{name} was not deployed: Cancelled by admin.\nRelease 1 goes on serving.\n"), said
    assert [each["state"] for each in deployments(server, name)] == ["cancelled", "live"]
    eventually(lambda: server.replicas(name) == replicas, 20, "the old version's container is the only one")
    eventually(lambda: server.images() <= images, 20, "no image of the cancelled deployment is left")
    assert server.status(name) == "running"
    assert "main.py" in server.get("/", host=f"{name}--micro.localhost").text
    server.micro("kill", name)


def deployments(server: Server, name: str) -> list[dict[str, str]]:
    """Those of a service, the newest first."""
    return json.loads(server.micro("deployments", name, "-o", "json").stdout)


def test_a_deployment_that_is_cancelled_while_it_builds_leaves_no_container_and_no_image(server, tmp_path):
    mark = f"600.{secrets.randbelow(10**9)}"
    step = f"FROM python:3.11-slim\nRUN sleep {mark}\n"
    with cancelled_update(server, tmp_path / "half-built", {"Dockerfile": step}):
        eventually(lambda: anywhere(f"sleep {mark}"), 60, "the image is being built")
    eventually(lambda: not anywhere(mark), 10, "the step's process is gone")
    built_in = [found for found in docker.from_env().api.containers(all=True) if mark in found["Command"]]
    assert built_in == []


def test_a_deployment_that_is_cancelled_while_it_starts_leaves_no_container_and_no_image(server, tmp_path):
    with cancelled_update(server, tmp_path / "half-started", {"main.py": "import time\ntime.sleep(600)\n"}):
        eventually(lambda: len(server.replicas("half-started")) == 2, 60, "the new container is there")


PROBE = """
import http.server, json, os, socket
targets = json.loads(%r)
def answers(host, port):
    with socket.socket() as probe:
        probe.settimeout(2)
        try:
            probe.connect((host, port))
            return True
        except OSError:
            return False
found = {name: answers(*target) for name, target in targets.items()}
found["door"] = answers(*os.environ["MICRO_PROXY"].split(":")[:1], int(os.environ["MICRO_PROXY"].split(":")[1]))
found["files"] = [path for path in %r if os.path.exists(path)]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(found).encode())
http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


def listening(server: Server) -> dict[str, tuple[str, int]]:
    """Every port that a process of this server listens on, at every address a container might try."""
    ports = {found for process in server.processes() for found in ports_of(process)}
    addresses = ["127.0.0.1", "172.17.0.1", own_address(), "10.201.0.1"]
    return {
        f"{name} {host}:{port}": (host, port)
        for name, port in ports
        for host in addresses
        if port != server.network_port
    }


def ports_of(process: psutil.Process) -> set[tuple[str, int]]:
    """What a process listens on, each with its name; nothing when it has just ended."""
    try:
        found = process.net_connections("tcp")
        return {(process.name(), connection.laddr.port) for connection in found if connection.status == "LISTEN"}
    except psutil.NoSuchProcess:
        return set()


def own_address() -> str:
    """This machine's address towards the world."""
    shown = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True)
    return shown.stdout.split()[0]


def test_from_a_container_nothing_of_the_platform_answers_but_the_door(server, tmp_path):
    targets = listening(server) | {"metadata": ("169.254.169.254", 80), "docker": ("172.17.0.1", 2375)}
    assert any("nats" in name for name in targets)
    files = [str(path) for path in (server.home, "/var/run/docker.sock", *server.home.parent.rglob("*.sock"))]
    source = {"main.py": PROBE % (json.dumps(targets), files), "Procfile": "web: python main.py\n"}
    server.micro("run", write(tmp_path / "probe", source), timeout_s=300)
    found = server.get("/", host="probe--micro.localhost").json()
    server.micro("kill", "probe")
    assert found.pop("door") is True
    assert found.pop("files") == []
    assert [name for name, is_reached in found.items() if is_reached] == []


def test_a_hog_is_named_in_the_status(server, tmp_path):
    source = {"main.py": "x = []\nwhile True: x.append(bytearray(32 << 20))\n", "Procfile": "web: python main.py\n"}
    done = server.micro("run", write(tmp_path / "hog", source), check=False, timeout_s=300)
    assert done.returncode == 1
    assert "512 MiB of memory" in server.micro("status", "hog").stdout
    server.micro("kill", "hog")
