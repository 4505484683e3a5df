"""Claims about a server that cannot run: one clear sentence, status 1, nothing left running. By the real command."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from project.embedded import kept_secret, postgres, postgres_roles
from project.server.leftovers import MARK
from tests.certificates import Authority

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a server of this test's own, on free ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    names = ("WEB", "API", "PROXY", "NETWORK")
    ports = {f"MICRO_{name}_ADDRESS": f"127.0.0.1:{s.getsockname()[1]}" for name, s in zip(names, sockets, strict=True)}
    for opened in sockets:
        opened.close()
    home = tmp_path / "home"
    yield {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MICRO_HOME": str(home),
        "MICRO_BACKEND": "process",
        **ports,
    }
    shutil.rmtree(postgres.cluster(home) if (home / "postgres").is_symlink() else home, ignore_errors=True)


@pytest.fixture
def serve(environment) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `manage.py server`, which is expected to end by itself."""

    def run(**changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, ROOT / "manage.py", "server"]
        return subprocess.run(
            command,
            env={**environment, **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    return run


def processes_of(environment: dict[str, str]) -> list[str]:
    """The command lines of what runs for the server's state folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get(MARK) == environment["MICRO_HOME"]
                or environment["MICRO_HOME"] in process.cmdline()
            ):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def the_sentence(done: subprocess.CompletedProcess[str], environment: dict[str, str]) -> str:
    """What the server said last, once it is certain that it ended as it should."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert processes_of(environment) == []
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("micro server: ")
    assert last.endswith(".")
    return last


def test_a_port_in_use_is_refused_before_anything_starts(serve, environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = serve(MICRO_PROXY_ADDRESS=address)
    assert f"{address} (MICRO_PROXY_ADDRESS) is in use" in the_sentence(done, environment)
    assert not (Path(environment["MICRO_HOME"]) / "valkey").exists()


def test_a_certificate_that_nobody_could_be_served_with_is_refused(serve, environment, tmp_path):
    authority = Authority(tmp_path / "ca")
    file, other = authority.issue(), authority.issue("other")
    done = serve(MICRO_TLS_CERT=str(file), MICRO_TLS_KEY=str(other.with_suffix(".key")))
    assert "other.key is not the key of" in the_sentence(done, environment)
    alone = serve(MICRO_TLS_CERT=str(file))
    assert alone.returncode == 1
    assert alone.stderr.endswith("MICRO_TLS_CERT and MICRO_TLS_KEY belong together: set both, or neither.\n")


def test_a_database_that_does_not_answer_is_named(serve, environment):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    sentence = the_sentence(serve(DATABASE_URL=f"postgresql://micro@127.0.0.1:{port}/micro"), environment)
    assert "The database does not answer" in sentence
    assert "start it, or correct DATABASE_URL" in sentence


def test_a_database_that_refuses_us_is_named_at_once(serve, environment):
    began = time.monotonic()
    url = settings.DATABASE_URL.replace("platform@", "nobody_of_this_name@")
    sentence = the_sentence(serve(DATABASE_URL=url), environment)
    assert 'role "nobody_of_this_name" does not exist' in sentence
    assert time.monotonic() - began < 9


@pytest.mark.parametrize("was_closed", [True, False], ids=["", "of an earlier version"])
def test_a_damaged_database_is_named_with_the_way_out(was_closed, serve, environment):
    home = Path(environment["MICRO_HOME"])
    home.mkdir(mode=0o700)
    cluster = postgres.cluster(home)
    postgres.initialise(cluster)
    if was_closed:
        postgres_roles.close(cluster, kept_secret(postgres.password_file(home)))
    (cluster / "global" / "pg_control").unlink()
    sentence = the_sentence(serve(), environment)
    assert ("postgres failed" if was_closed else "cannot be opened") in sentence
    assert "pg_control" in sentence
    assert str(cluster) in sentence
    assert "restore it from a backup; where there is none, `micro server --reset` removes it" in sentence


def test_a_database_that_does_not_start_for_another_reason_is_not_to_be_removed(serve, environment):
    home = Path(environment["MICRO_HOME"])
    home.mkdir(mode=0o700)
    cluster = postgres.cluster(home)
    postgres.initialise(cluster)
    postgres_roles.close(cluster, kept_secret(postgres.password_file(home)))
    with (cluster / "postgresql.conf").open("a") as file:
        file.write("max_wal_senders = many\n")
    sentence = the_sentence(serve(), environment)
    assert "correct that, and start again" in sentence
    assert "remove" not in sentence
    assert "reset" not in sentence


def test_a_profile_for_strangers_wants_containers(serve, environment):
    sentence = the_sentence(serve(MICRO_PROFILE="platform"), environment)
    assert "needs containers, and the backend is process" in sentence


def test_a_backend_without_its_engine_is_named(serve, environment, tmp_path):
    nowhere = f"unix://{tmp_path}/nobody.sock"
    sentence = the_sentence(serve(MICRO_BACKEND="docker", MICRO_DOCKER_HOST=nowhere), environment)
    assert "no Docker engine answers: start one" in sentence
    assert "MICRO_BACKEND=process" in sentence


def test_a_state_folder_that_cannot_be_made_is_named(serve, environment, tmp_path):
    (tmp_path / "file").touch()
    done = serve(MICRO_HOME=str(tmp_path / "file" / "home"))
    assert str(tmp_path / "file") in the_sentence(done, environment)


def test_being_told_to_stop_while_it_starts_leaves_nothing(environment):
    command = [sys.executable, ROOT / "manage.py", "server"]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert server.stderr
    while "is ready" not in server.stderr.readline():
        assert server.poll() is None
    began = time.monotonic()
    server.send_signal(signal.SIGTERM)
    rest = server.communicate(timeout=20)[1]
    assert time.monotonic() - began < 10
    assert server.returncode == 0
    assert "Traceback" not in rest
    assert processes_of(environment) == []


def test_what_a_server_left_is_removed_by_name_once_somebody_says_yes(environment):
    home = Path(environment["MICRO_HOME"])
    home.mkdir(mode=0o700)
    (home / "server.lock").write_text("")
    cluster = postgres.cluster(home)
    postgres.initialise(cluster)

    def reset(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, ROOT / "manage.py", "server", "--reset", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    refused = reset()
    assert (refused.returncode, refused.stderr) == (
        1,
        "micro server: Nothing was removed: answer yes, or give --yes.\n",
    )
    assert (cluster / "PG_VERSION").exists()
    done = reset("--yes")
    assert done.returncode == 0, done.stderr
    assert {str(home), str(cluster)} - {line.strip() for line in done.stdout.splitlines()} <= {str(home / "postgres")}
    assert not home.exists()
    assert not cluster.exists()
