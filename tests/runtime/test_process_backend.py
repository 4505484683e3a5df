"""The process backend by itself: what it starts, adopts and ends, and what it says of how that ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from deploying import eventually

from runtime import folders, processes
from runtime.backends import Launch
from runtime.backends.process import Process

UNKNOWN = "ended with an unknown exit status"


@pytest.fixture
def backend(home: Path) -> Process:
    return Process()


@pytest.fixture
def launch(tmp_path: Path) -> Callable[[str], Launch]:
    def make(script: str) -> Launch:
        command, env = ["/bin/sh", "-c", script], {"PATH": os.environ["PATH"]}
        return Launch(replica_id=uuid4(), command=command, env=env, folder=tmp_path, log=tmp_path / "log")

    return make


def pid_in(path: Path) -> int:
    """The process id that a script has written, once it is there."""
    eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 1", "ended with status 1"),
        ("sleep 0.3; exit 1", "ended with status 1"),
        ("exit 0", "ended with status 0"),
        ("kill -SEGV $$", "was ended by signal SIGSEGV"),
        ("exit 143", "was ended by signal SIGTERM"),
    ],
)
def test_how_a_program_ended_is_told(backend, launch, script, words):
    one = launch(script)
    backend.start(one)
    eventually(lambda: not backend.is_running(one.replica_id))
    assert backend.last_words(one.replica_id) == words


def test_an_end_that_somebody_else_has_waited_for_is_unknown_and_no_success(backend, launch, tmp_path):
    one = launch("echo $$ >pid; exit 1")
    backend.start(one)
    assert os.waitstatus_to_exitcode(os.waitpid(pid_in(tmp_path / "pid"), 0)[1]) == 1
    assert not backend.is_running(one.replica_id)
    assert backend.last_words(one.replica_id) == UNKNOWN


def test_the_end_of_a_program_that_an_earlier_runner_started_is_unknown(backend, launch, tmp_path):
    one = launch("echo $$ >pid; exec sleep 60")
    backend.start(one)
    heir = Process()
    assert heir.is_running(one.replica_id)
    os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)
    eventually(lambda: not heir.is_running(one.replica_id))
    assert heir.last_words(one.replica_id) == UNKNOWN
    assert not backend.is_running(one.replica_id)
    assert backend.last_words(one.replica_id) == "was ended by signal SIGKILL"


def test_what_a_program_has_left_is_gone_before_it_starts_again(backend, launch, tmp_path):
    one = launch("[ -e pid ] && exec sleep 60; sleep 60 & echo $! >pid; exit 1")
    backend.start(one)
    left = pid_in(tmp_path / "pid")
    eventually(lambda: not backend.is_running(one.replica_id))
    assert not backend.is_gone(one.replica_id)
    session = os.getsid(left)
    backend.start(one)
    assert backend.is_running(one.replica_id)
    assert list(processes.members(session)) == []


def test_what_a_killed_runner_is_still_launching_is_neither_started_twice_nor_lost(
    backend, launch, tmp_path, monkeypatch
):
    monkeypatch.setattr(processes, "LAUNCH_WITHIN_S", 0.1)
    monkeypatch.setattr(processes, "_LAUNCHER", f"while [ ! -e go ]; do sleep 0.05; done\n{processes._LAUNCHER}")
    one = launch("echo $$ >>pids; exec sleep 60")
    record = folders.replicas() / str(one.replica_id)
    backend.start(one)  # though the launcher takes its time, this does not
    assert backend.is_running(one.replica_id)
    assert processes.recorded(record) is None
    heir = Process()
    assert heir.is_running(one.replica_id)
    assert not heir.is_gone(one.replica_id)
    heir.forget(one.replica_id)
    heir.start(one)
    (tmp_path / "go").touch()
    first = pid_in(tmp_path / "pids")
    eventually(lambda: (process := processes.recorded(record)) and process.pid == first)
    assert heir.is_running(one.replica_id)
    heir.forget(one.replica_id)
    assert list(processes.members(first)) == []
    assert not record.exists()
