"""The story of a service once more, in containers: every language, calls between services, walls between tenants."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import engines
import neighbours
import psutil
import pytest
from languages import FLASK, SOURCES
from load import Load
from server import Server, running_server

from runtime.backends import containers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, git, pytestconfig: pytest.Config) -> Iterator[Server]:
    """A server whose services are containers."""
    engines.require(pytestconfig)
    settings = {
        "MICRO_BACKEND": "auto",
        "MICRO_UNSAFE_BUILD_HOST_NETWORK": "1",
        "MICRO_START_TIMEOUT": "20s",
        "MICRO_GIT_ALLOW_HOSTS": f"127.0.0.1:{git.port}",
    }
    with running_server(tmp_path_factory.mktemp("docker"), **settings) as running:
        yield running
        running.stop()
        assert not running_containers(running), "Containers outlived the server."
    remove_images(running)


def running_containers(server: Server) -> list[str]:
    """The names of the containers that this server has on the engine."""
    label = f"{containers.SERVER}={containers.server_id(server.home)}"
    return [container.name for container in docker.from_env().containers.list(all=True, filters={"label": label})]


def remove_images(server: Server) -> None:
    """What a server that is gone leaves on the engine: the images of its releases."""
    engine = docker.from_env()
    for image in engine.images.list(filters={"reference": f"micro-{containers.server_id(server.home)}/*"}):
        engine.images.remove(image.tags[0], force=True)


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
    assert any(f"micro-{name}-" in container for container in running_containers(server))
    server.micro("kill", name)
    deadline = time.monotonic() + 8
    while any(f"micro-{name}-" in container for container in running_containers(server)):
        assert time.monotonic() < deadline, "The killed service's container is still there."
        time.sleep(0.1)


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
    before = [name for name in running_containers(server) if "micro-app-" in name]
    (tmp_path / "app" / "app.py").write_text(FLASK["app.py"].replace("flask'", "update'"))
    with Load(f"http://127.0.0.1:{server.api_port}/", host=f"app--micro.localhost:{server.api_port}") as load:
        server.micro("update", tmp_path / "app", timeout_s=300)
        deadline = time.monotonic() + 20
        while set(before) & set(running_containers(server)):
            assert time.monotonic() < deadline, "The old container is still there."
            time.sleep(0.1)
    assert load.failures == []
    assert server.get("/", host="app--micro.localhost").text == "hello from update"
    server.micro("kill", "app")


def test_a_killed_runner_and_a_killed_engine_lose_no_request_and_no_container(server):
    server.micro("run", "examples/web", timeout_s=300)
    before = [name for name in running_containers(server) if "micro-web-" in name]
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
        assert [name for name in running_containers(server) if "micro-web-" in name] == before
        server.micro("update", "examples/web", timeout_s=300)
    assert load.failures == []
    assert server.status("web") == "running"
    server.micro("kill", "web")


def test_services_call_each_other_by_name_through_the_door(server, tmp_path):
    neighbours.call_each_other(server, tmp_path)


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
