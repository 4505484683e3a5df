"""A tenant's nodes: other tenants' replicas, the platform's own ports, and the way round in circles."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import MALLORYS_SECRET
from registering import TELLTALE, program, register, token
from server import Server, eventually, free_ports

LOOKED_AT_AGAIN_S = 25  # the control plane looks every ten seconds

# Hands every request on to the gateway as a request to itself; HONEST keeps the headers of those who came by before.
ROUND = """
import asyncio, os

async def serve(reader, writer):
    try:
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        if b"GET /round" not in head:
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
            return
        lines = head.split(b"\\r\\n")
        kept = [line for line in lines if line.lower().startswith(b"cdn-loop")] if HONEST else []
        on, to = await asyncio.open_connection("127.0.0.1", GATEWAY)
        top = [lines[0], b"Host: HOST", b"Connection: close", *kept]
        to.write(b"\\r\\n".join(top) + b"\\r\\n\\r\\n")
        while piece := await on.read(65536):
            writer.write(piece)
        to.close()
    finally:
        writer.close()

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]), backlog=1024) as server:
        await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def mallorys(attacked: Server, mallory: Server) -> str:
    """The token of mallory's admin."""
    return token(attacked, "owner", MALLORYS_SECRET, namespace="mallory")


@pytest.fixture(scope="module")
def victim(attacked: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the operator's service says of itself: its ports among others."""
    folder = program(tmp_path_factory.mktemp("victim") / "victim", TELLTALE)
    attacked.micro("run", folder)
    yield attacked.get("/victim/").json()
    attacked.micro("kill", "victim")


def envoy(server: Server) -> psutil.Process:
    """The gateway's process."""
    return next(process for process in server.processes() if Path(process.cmdline()[0]).name == "envoy")


def platform_ports(server: Server) -> dict[str, int]:
    """The loopback ports on which the platform's processes listen, by a name for each."""
    known = {"api": server.api_port, "proxy": server.proxy_port, "network": server.network_port, "web": server.web_port}
    own = {process.pid for process in server.named("nats-server")}
    for each in psutil.net_connections(kind="tcp"):
        if each.status == psutil.CONN_LISTEN and each.pid in own:
            known["nats"] = each.laddr.port
    return known


def test_no_port_of_the_platform_is_a_node_under_any_address(attacked, mallory, mallorys):
    ports = platform_ports(attacked)
    assert "nats" in ports
    before = envoy(attacked).num_fds()
    for port in ports.values():
        for host in ("127.0.0.1", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "[::]", "localhost", "2130706433"):
            refused = register(attacked, mallorys, f"{host}:{port}", namespace="mallory")
            assert refused.status_code == 403, (host, port, refused.text)
    assert mallory.get("/mine/", headers={"Micro-Namespace": "mallory"}).status_code == 404
    assert envoy(attacked).num_fds() < before + 100


def test_addresses_of_the_machine_and_beyond_are_no_nodes(attacked, mallorys):
    own = [each.address for found in psutil.net_if_addrs().values() for each in found if each.family == socket.AF_INET]
    for host in {*own, "169.254.169.254", "10.0.0.1", "172.17.0.1", "[fe80::1]", socket.gethostname()} - {"127.0.0.1"}:
        refused = register(attacked, mallorys, f"{host}:3000", namespace="mallory")
        assert refused.status_code == 403, (host, refused.text)


def test_a_neighbours_replica_is_not_reached_by_its_port_nor_by_another_it_listens_on(attacked, mallorys, victim):
    for port in (victim["PORT"], victim["SECOND"]):
        refused = register(attacked, mallorys, f"127.0.0.1:{port}", namespace="mallory")
        assert (refused.status_code, refused.json()["detail"]) == (403, f"port {port} belongs to another service")
    assert attacked.get("/mine/", headers={"Micro-Namespace": "mallory"}).status_code == 404


def test_a_port_that_was_free_is_not_served_once_a_neighbour_listens_there(attacked, mallorys, tmp_path):
    (port,) = free_ports(1)
    assert register(attacked, mallorys, f"127.0.0.1:{port}", namespace="mallory", name="early").status_code == 200
    try:
        attacked.micro("run", program(tmp_path / "late", TELLTALE.replace('"0"', f'"{port}"')))
        asked = lambda: attacked.get("/early/", headers={"Micro-Namespace": "mallory"}).status_code  # noqa: E731
        eventually(lambda: asked() in {404, 503}, LOOKED_AT_AGAIN_S, "the neighbour's port is not mallory's any more")
    finally:
        attacked.micro("kill", "late", check=False)


def test_a_service_registers_its_own_replica_and_nothing_else(attacked, mallory, victim, tmp_path):
    mallory.micro("run", program(tmp_path / "telltale", TELLTALE))
    try:
        told = attacked.get("/telltale/", headers={"Micro-Namespace": "mallory"}).json()
        bearer = token(attacked, told["MICRO_AUTH_ID"], told["MICRO_AUTH_SECRET"], namespace="mallory")
        facts = {"namespace": "mallory", "name": "telltale"}
        assert register(attacked, bearer, f"127.0.0.1:{told['PORT']}", **facts).status_code == 200
        for port in (*free_ports(1), victim["PORT"], victim["SECOND"], attacked.web_port, attacked.api_port):
            refused = register(attacked, bearer, f"127.0.0.1:{port}", **facts)
            assert refused.status_code == 403, (port, refused.text)
        refused = register(attacked, bearer, f"127.0.0.1:{told['PORT']}", namespace="mallory", name="alias")
        assert refused.status_code == 403, refused.text
    finally:
        mallory.micro("kill", "telltale")


@pytest.mark.parametrize("is_honest", [True, False], ids=["with its headers", "without"])
def test_a_service_that_hands_requests_on_to_itself_goes_round_a_bounded_number_of_times(
    attacked, mallory, tmp_path, is_honest
):
    name = "honest" if is_honest else "sly"
    text = ROUND.replace("HONEST", str(is_honest)).replace("GATEWAY", str(attacked.api_port))
    mallory.micro("run", program(tmp_path / name, text.replace("HOST", f"{name}--mallory.localhost")))
    before, started = envoy(attacked).num_fds(), time.monotonic()
    try:
        answer = attacked.get("/round", host=f"{name}--mallory.localhost")
        assert answer.status_code == (508 if is_honest else 503), answer.text
        assert time.monotonic() - started < 20
        assert envoy(attacked).num_fds() < before + (200 if is_honest else 5000)
        assert attacked.get("/").status_code == 200
    finally:
        mallory.micro("kill", name)


def test_what_nobody_else_holds_is_served_beside_the_platform(attacked, mallory, tmp_path):
    (tmp_path / "hello.txt").write_text("beside")
    (port,) = free_ports(1)
    web = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    child = psutil.Popen(web)
    try:
        bearer = token(attacked, "owner", MALLORYS_SECRET, namespace="mallory")
        assert register(attacked, bearer, f"127.0.0.1:{port}", namespace="mallory", name="beside").status_code == 200
        asked = lambda: attacked.get("/beside/hello.txt", headers={"Micro-Namespace": "mallory"}).text  # noqa: E731
        eventually(lambda: asked() == "beside", 20, "the file is shown")
        operators = token(attacked, "admin", "micro", namespace="micro")
        assert register(attacked, operators, f"127.0.0.1:{port}", namespace="micro", name="copy").status_code == 403
    finally:
        child.kill()
        child.wait(10)
