"""From inside a container of another tenant: a neighbour's replicas, the platform's ports, the door under its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import engines
import psutil
import pytest
from docker_server import DockerServer
from server import Server, running_server

pytestmark = pytest.mark.extended
BASE = "FROM python:3.11-slim\n"
SERVING = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"@@")
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
# Tries to connect, and what of it opens is asked; then it serves what it has found.
PROBING = """
import http.server, json, os, socket
door = os.environ["MICRO_PROXY"].split(":")
found = {}
for name, (host, port) in json.loads(%r).items():
    with socket.socket() as probe:
        probe.settimeout(1)
        try:
            probe.connect((host, port))
            found[name] = "answered"
        except OSError as error:
            pass
try:
    with socket.create_connection((door[0], int(door[1])), 2):
        found["door"] = "answered"
except OSError as error:
    found["door"] = str(error)
words = json.dumps(found)
""" + SERVING.replace('b"@@"', "words.encode()")


@pytest.fixture(scope="module")
def docked(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[DockerServer]:
    """A server whose services are containers, as its operator sees it."""
    engines.require(pytestconfig)
    with running_server(tmp_path_factory.mktemp("docked"), kind=DockerServer) as running:
        yield running


@pytest.fixture(scope="module")
def victim(docked: DockerServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A tenant with a service in a container."""
    owner = docked.user_of("victim", secret="a long secret of the victim's")
    source = {"main.py": SERVING.replace("@@", "the words of the victim"), "Procfile": "web: exec python main.py\n"}
    owner.micro("run", write(tmp_path_factory.mktemp("victim") / "shop", source), timeout_s=300)
    return owner


@pytest.fixture(scope="module")
def intruder(docked: DockerServer) -> Server:
    """The owner of the namespace `mallory`."""
    return docked.user_of("mallory", secret="a long secret of mallory's")


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def targets(docked: DockerServer, container: docker.models.containers.Container) -> dict[str, tuple[str, int]]:
    """The victim's container and network, every port of the platform, and addresses that are nobody's to reach."""
    attached = container.attrs["NetworkSettings"]["Networks"].values()
    ports = {
        (process.name(), connection.laddr.port)
        for process in docked.processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port != docked.network_port
    }
    port = int(
        next(word for word in container.attrs["Config"]["Env"] if word.startswith("PORT=")).removeprefix("PORT=")
    )
    found = {"metadata": ("169.254.169.254", 80), "the engine": ("172.17.0.1", 2375)}
    for network in attached:
        found |= {"the victim": (network["IPAddress"], port), "its name": (container.name, port)}
        for name, listening in ports:
            for host in ("172.17.0.1", network["Gateway"], "127.0.0.1"):
                found[f"{name} at {host}:{listening}"] = (host, listening)
    return found


def test_from_a_container_of_mallory_nothing_of_the_victim_and_of_the_platform_answers_but_the_door(
    docked, victim, intruder, tmp_path
):
    (box,) = docked.replicas("shop")
    container = docker.from_env().containers.get(box.id)
    asked = targets(docked, container)
    assert "the victim" in asked
    assert any("nats" in name for name in asked)
    source = {"main.py": PROBING % json.dumps(asked), "Procfile": "web: exec python main.py\n"}
    intruder.micro("run", write(tmp_path / "probe", source), timeout_s=300)
    found = docked.get("/", host="probe--mallory.localhost").json()
    assert found == {"door": "answered"}
    assert docked.get("/", host="shop--victim.localhost").text == "the words of the victim"


def test_names_of_networks_containers_and_images_are_the_servers_to_choose(docked, victim, intruder, tmp_path):
    engine = docker.from_env()
    before = {network.name for network in engine.networks.list()}
    label = f'LABEL micro.server="{docked.id}" micro.namespace="victim" micro.service="shop"\n'
    dockerfile = f'{BASE}{label}COPY main.py /\nCMD ["python", "/main.py"]\n'
    source = {"main.py": SERVING.replace("@@", "the words of mallory"), "Dockerfile": dockerfile}
    intruder.micro("run", write(tmp_path / "shop", source), timeout_s=300)
    assert docked.get("/", host="shop--victim.localhost").text == "the words of the victim"
    assert docked.get("/", host="shop--mallory.localhost").text == "the words of mallory"
    networks = {name for box in docked.replicas("shop") for name in attached(engine, box.id)}
    assert networks == {f"micro-{docked.id}-victim", f"micro-{docked.id}-mallory"}
    made = {network.name for network in engine.networks.list()} - before
    assert made <= {f"micro-{docked.id}-mallory"}
    names = {name.rpartition(":")[0] for name in docked.images()}
    assert names == {f"micro-{docked.id}/victim", f"micro-{docked.id}/mallory"}


def attached(engine: docker.DockerClient, container: str) -> set[str]:
    return set(engine.containers.get(container).attrs["NetworkSettings"]["Networks"])


def test_a_dockerfile_that_takes_the_victims_image_is_refused_with_a_sentence(docked, victim, intruder, tmp_path):
    (name,) = [name for name in docked.images() if "/victim:" in name]
    source = {"Dockerfile": f"ARG BASE={name}\nFROM ${{BASE}}\nCMD x\n"}
    done = intruder.micro("run", write(tmp_path / "taking", source), check=False, timeout_s=300)
    assert done.returncode
    assert "an image of another namespace" in done.stdout + done.stderr
