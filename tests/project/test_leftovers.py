"""Claims about what a killed server leaves behind, with real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from project.embedded import postgres
from project.server import leftovers
from project.server.errors import CannotRun
from project.server.plan import Plan

SLEEP = "import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEP}"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "home").mkdir()
    (tmp_path / "run").mkdir()
    return Plan(
        root=tmp_path,
        home=tmp_path / "home",
        run=tmp_path / "run",
        profile="local",
        addresses={},
        embedded=frozenset(),
        sidecars=1,
    )


@pytest.fixture
def orphan(plan):
    """Starts processes as the supervisor of a server on `home` does; ends them after the test."""
    started = []

    def start(home: Path = plan.home, script: str = SLEEP) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, leftovers.MARK: str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_processes_of_a_killed_server_are_ended(plan, orphan):
    processes = [orphan(), orphan()]
    assert leftovers.clean_up(plan) == 2
    assert not any(psutil.pid_exists(process.pid) for process in processes)


def test_a_family_that_does_not_listen_is_killed_though_its_members_end_each_other(plan, orphan, monkeypatch):
    monkeypatch.setattr(leftovers, "GRACE_S", 0.2)
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}]).wait()"
    orphan(script=f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {child}")
    lonely = orphan(script=DEAF)
    assert lonely.stdout.readline() == "deaf\n"
    while leftovers.clean_up(plan):
        continue
    assert not list(leftovers._supervised(plan.home))


def test_a_process_that_does_not_listen_is_killed(plan, orphan, monkeypatch):
    monkeypatch.setattr(leftovers, "GRACE_S", 0.2)
    process = orphan(script=DEAF)
    assert process.stdout.readline() == "deaf\n"
    leftovers.clean_up(plan)
    assert not psutil.pid_exists(process.pid)


def test_processes_of_another_server_and_of_the_user_are_left_alone(plan, orphan, tmp_path):
    other = orphan(home=tmp_path / "other")
    mine = subprocess.Popen([sys.executable, "-c", SLEEP], env={**os.environ, "MICRO_HOME": str(plan.home)})
    try:
        assert leftovers.clean_up(plan) == 0
        assert (other.poll(), mine.poll()) == (None, None)
    finally:
        mine.kill()
        mine.wait()


def test_sockets_of_a_killed_server_are_removed(plan):
    (plan.run / "xds.sock").touch()
    leftovers.clean_up(plan)
    assert list(plan.run.iterdir()) == []


def test_a_second_server_on_the_same_state_is_refused_and_told_which_runs(plan):
    script = (
        "import sys, time; from pathlib import Path; from project.server import leftovers\n"
        "with leftovers.only_server(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    path = os.pathsep.join(sys.path)
    holder = subprocess.Popen(
        [sys.executable, "-c", script, plan.home],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(CannotRun, match=rf"A server already runs on .* \(pid {holder.pid}\)"),
        leftovers.only_server(plan.home),
    ):
        pass
    holder.kill()
    holder.communicate()
    with leftovers.only_server(plan.home):
        assert not leftovers.is_new(plan.home)


def test_a_postgres_that_outlived_its_server_is_stopped_and_a_stale_lock_is_removed(plan, tmp_path):
    plan = replace(plan, embedded=frozenset({"postgres"}))
    data = postgres.cluster(plan.home)
    sockets = Path(f"/tmp/micro-test-pg-{os.getpid()}")  # noqa: S108
    try:
        postgres.initialise(data)
        server = postgres.start(data, sockets)
        while not (data / "postmaster.pid").exists():
            assert server.poll() is None
        assert leftovers.clean_up(plan) == 1
        assert not psutil.pid_exists(server.pid)
        (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
        assert leftovers.clean_up(plan) == 0
        assert not (data / "postmaster.pid").exists()
    finally:
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(sockets, ignore_errors=True)


def test_what_runs_is_counted_and_left_alone(plan, orphan):
    assert leftovers.count(plan) == 0
    ours, others = orphan(), orphan(plan.home.parent / "other")
    assert leftovers.count(plan) == 1
    assert ours.poll() is None
    assert others.poll() is None
