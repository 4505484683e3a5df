"""A tenant's service that is slow, and those who ask it: a neighbour is served all the same."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from registering import TELLTALE, program
from server import Server
from streams import GRPC, Neighbour, flood

CONNECTIONS, STREAMS = 215, 100  # as many as stalled everybody
FOR_S = 8
FILES = 3000  # of the gateway: its share of connections on either side, and no more
MIB = 1024 * 1024

SLOW = """
import asyncio, os

async def serve(reader, writer):
    try:
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        if b"/never" in head:
            await asyncio.sleep(600)
        size = 50_000_000 if b"/much" in head else 2
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
        for _ in range(size // 2):
            writer.write(b"ok" if size == 2 else b"much" * 4096)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]), backlog=4096) as server:
        await server.serve_forever()

asyncio.run(main())
"""
STUCK = """
import time
from dataclasses import dataclass
from micro import Service

@dataclass
class Empty:
    pass

class Stuck:
    def call(self, request: Empty) -> Empty:
        time.sleep(600)
        return Empty()

service = Service("stuck")
service.handle(Stuck())
service.run()
"""


@pytest.fixture(scope="module", autouse=True)
def neighbour(attacked: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A service of the operator's."""
    attacked.micro("run", program(tmp_path_factory.mktemp("neighbour") / "neighbour", TELLTALE))
    yield
    attacked.micro("kill", "neighbour")


@pytest.fixture(scope="module", autouse=True)
def slow(mallory: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Mallory's service that never answers, or with more than anybody reads."""
    mallory.micro("run", program(tmp_path_factory.mktemp("slow") / "slow", SLOW))
    yield
    mallory.micro("kill", "slow")


def envoy(server: Server) -> psutil.Process:
    """The gateway's process."""
    return next(process for process in server.processes() if Path(process.cmdline()[0]).name == "envoy")


@contextmanager
def neighbours_are_served(server: Server, *, grows_mib: int) -> Iterator[None]:
    """Everybody else is answered during the block and FOR_S after; the gateway holds few files and little memory."""
    gateway = envoy(server)
    before = gateway.memory_info().rss
    with Neighbour(server.api_port, "/") as front, Neighbour(server.api_port, "/neighbour/") as service:
        yield
        time.sleep(FOR_S)
        assert gateway.num_fds() < FILES
        assert gateway.memory_info().rss - before < grows_mib * MIB
    for each in (front, service):
        assert each.failures == []
        assert len(each.took_s) > FOR_S


def read(connection: socket.socket) -> bytes:
    """What has come so far."""
    connection.settimeout(0.5)
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except TimeoutError:
        pass
    return said


def test_a_service_that_never_answers_is_full_and_holds_nobody_else_up(attacked):
    with (
        flood(attacked.api_port, "/never", "slow--mallory.localhost", connections=CONNECTIONS, streams=STREAMS) as all_,
        neighbours_are_served(attacked, grows_mib=1000),
    ):
        pass
        answers = b"".join(map(read, all_[-20:]))
    assert re.search(rb"mallory/slow has \d+ requests open, as many as it may: try again\.", answers)


def test_answers_that_nobody_reads_fill_no_memory(attacked):
    with (
        flood(attacked.api_port, "/much", "slow--mallory.localhost", connections=50, streams=STREAMS),
        neighbours_are_served(attacked, grows_mib=500),
    ):
        pass


def test_bodies_that_never_come_hold_nobody_else_up(attacked):
    with (
        flood(
            attacked.api_port,
            "/store/Store/Read",
            "localhost",
            connections=50,
            streams=STREAMS,
            has_ended=False,
            content_type="application/json",
            content_length="100",
        ),
        neighbours_are_served(attacked, grows_mib=500),
    ):
        pass


def test_a_grpc_service_that_never_answers_is_full_and_holds_nobody_else_up(attacked, mallory, tmp_path):
    (tmp_path / "stuck").mkdir()
    (tmp_path / "stuck" / "main.py").write_text(STUCK)
    mallory.micro("run", tmp_path / "stuck")
    headers = {**GRPC, "micro-namespace": "mallory"}
    try:
        with (
            flood(attacked.proxy_port, "/stuck.Stuck/Call", "localhost", connections=CONNECTIONS, **headers),
            neighbours_are_served(attacked, grows_mib=1000),
        ):
            pass
    finally:
        mallory.micro("kill", "stuck")
