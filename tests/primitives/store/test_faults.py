"""A Postgres of these tests' own is killed; what was acknowledged must be there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import grpc.aio
import psutil
import psycopg
import pytest

from primitives.store import rpc
from project.embedded import postgres
from tests.primitives.store.conftest import Client, served
from transport import database

ROOT = Path(__file__).parents[3]
WRITES = 20_000
CALLERS = 50


class Postgres:
    """A server that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.data, self.socket = folder / "data", folder / "s"
        self.url = f"postgresql://micro@/postgres?host={self.socket}"
        postgres.initialise(self.data)
        self.socket.mkdir(mode=0o700)
        if owner := postgres.account():
            os.chown(self.socket, owner.pw_uid, owner.pw_gid)
        self.start()

    def start(self) -> None:
        """Return when it answers. Orphans of a killed server may hold on to its memory for a moment: try again."""
        self.process = self._launch()
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            if self.process.poll() is not None:
                self.process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        # In a process that speaks gRPC, only a start by vfork is safe: Popen must not change the user itself.
        owner = postgres.account()
        as_owner = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"] if owner else []
        command = [*as_owner, *postgres.command(self.data, self.socket)]
        return subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """All of it at once: an orphaned backend would finish what it is at."""
        for process in [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


@pytest.fixture(scope="module")
def own_postgres():
    with tempfile.TemporaryDirectory(prefix="micro-pg-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Postgres(folder)
        environment = os.environ | {"DATABASE_URL": server.url}
        subprocess.run(
            [sys.executable, "manage.py", "migrate_schemas", "--shared", "-v0"], cwd=ROOT, env=environment, check=True
        )
        with psycopg.connect(server.url) as connection:
            connection.execute("INSERT INTO tenants_plan (name) VALUES ('default')")
            connection.execute(
                "INSERT INTO tenants_environment (name, base_domain, created_at, plan_id)"
                " VALUES ('local', 'localhost', now(), 'default')"
            )
            connection.execute(
                "INSERT INTO tenants_namespace (schema_name, slug, created_at, environment_id)"
                " VALUES ('ns_1', 'shop', now(), 'local')"
            )
        yield server
        server.stop()


@pytest.fixture
async def client(own_postgres, monkeypatch, tmp_path_factory):
    url = own_postgres.url
    monkeypatch.setattr(
        database, "conninfo", lambda options="": psycopg.conninfo.make_conninfo(url, connect_timeout=2, options=options)
    )
    async with served(f"unix:{tmp_path_factory.mktemp('s') / 's.sock'}", {"store": rpc.METHODS}) as channel:
        yield Client(channel, "shop")


async def kill_while(work: asyncio.Future, server: Postgres) -> int:
    """How often the server was killed before `work` was done."""
    kills = 0
    while not (await asyncio.wait([work], timeout=1.5))[0]:
        server.kill()
        kills += 1
        await asyncio.to_thread(server.start)
    await work
    return kills


async def test_no_acknowledged_write_is_lost_when_postgres_is_killed_again_and_again(client, own_postgres):
    acknowledged: dict[str, bytes] = {}
    slowest_refusal_s = 0.0
    numbers = iter(range(WRITES))

    async def writer() -> None:
        nonlocal slowest_refusal_s
        for number in numbers:
            key, value = f"k{number}", b"%d" % number
            while key not in acknowledged:
                began = time.monotonic()
                try:
                    await client.write(key, value)
                    acknowledged[key] = value
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    slowest_refusal_s = max(slowest_refusal_s, time.monotonic() - began)
                    await asyncio.sleep(0.05)

    kills = await kill_while(asyncio.gather(*(writer() for _ in range(CALLERS))), own_postgres)
    assert kills >= 1
    assert slowest_refusal_s < 2
    stored = {}
    while page := await client.read("k", prefix=True, limit=10_000, offset=len(stored)):
        stored |= {record.key: record.value for record in page}
    assert {key: value for key, value in acknowledged.items() if stored.get(key) != value} == {}
    with psycopg.connect(own_postgres.url) as connection:
        booked = connection.execute("SELECT records, size_bytes FROM store_usage").fetchone()
        real = connection.execute("SELECT count(*), sum(size_bytes)::int8 FROM store_record").fetchone()
    assert booked == real


@pytest.mark.parametrize("endpoint", ["read", "write", "delete", "keys", "tables"])
async def test_callers_hear_within_two_seconds_and_go_on_by_themselves(client, own_postgres, endpoint):
    await client.write("k")
    call = {
        "read": lambda: client.read("k"),
        "write": lambda: client.write("k"),
        "delete": lambda: client.delete("other"),
        "keys": client.keys,
        "tables": client.tables,
    }[endpoint]
    await call()
    own_postgres.kill()
    began = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - began < 2
    await asyncio.to_thread(own_postgres.start)
    began = time.monotonic()
    while True:
        try:
            await call()
            break
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() - began > 3:
                raise
            await asyncio.sleep(0.05)


async def test_a_restart_that_nobody_noticed_costs_no_write(client, own_postgres):
    await client.write("k")
    own_postgres.stop()
    own_postgres.start()
    await client.write("k")
    assert await client.keys(prefix="k", limit=1) == ["k"]
