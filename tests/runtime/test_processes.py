"""Processes that are found again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from deploying import eventually

from runtime import processes

ENV = {"PATH": os.environ["PATH"]}
SHORT = timedelta(seconds=1)


def launch(tmp_path: Path, script: str) -> subprocess.Popen[bytes]:
    return processes.launch(
        ["/bin/sh", "-c", script], record=tmp_path / "r", env=ENV, cwd=tmp_path, output=tmp_path / "out"
    )


def test_a_launched_process_is_found_by_its_record_and_leads_its_own_session(tmp_path):
    child = launch(tmp_path, "sleep 60")
    try:
        found = processes.find(tmp_path / "r")
        assert found
        assert found.pid == child.pid
        assert os.getsid(child.pid) == child.pid
    finally:
        processes.stop(tmp_path / "r", grace=SHORT)


def test_a_stopped_process_is_gone_with_everything_of_its_session(tmp_path):
    launch(tmp_path, "sleep 61 & sleep 62 & wait")
    time.sleep(0.1)
    found = processes.find(tmp_path / "r")
    assert found
    assert len(list(processes.members(found.pid))) == 3
    processes.stop(tmp_path / "r", grace=SHORT)
    assert list(processes.members(found.pid)) == []
    assert processes.find(tmp_path / "r") is None


def test_what_is_left_of_a_session_is_stopped_and_counted_when_its_first_process_has_ended(tmp_path):
    child = launch(tmp_path, "sleep 64 & exit 0")
    assert child.wait() == 0
    assert processes.find(tmp_path / "r") is None
    assert len(list(processes.members(child.pid))) == 1
    assert processes.stop_all([tmp_path / "r"], grace=SHORT) == 1
    assert list(processes.members(child.pid)) == []


def test_how_a_stopped_process_ended_is_left_for_its_parent_to_ask(tmp_path):
    child = launch(tmp_path, "exec sleep 65")
    processes.stop(tmp_path / "r", grace=timedelta(seconds=10))
    assert processes.exit_status(child) == -signal.SIGTERM


def test_a_process_whose_first_thread_has_ended_before_the_others_runs_until_they_end(tmp_path):
    script = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=[60]).start(); "
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    child = launch(tmp_path, f"exec {sys.executable} -c '{script}'")
    eventually(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    found = processes.find(tmp_path / "r")
    assert found == processes.started(child)
    assert processes.exit_status(child) is None
    processes.stop(tmp_path / "r", grace=SHORT)
    assert not found.is_alive()
    assert processes.exit_status(child) == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(tmp_path):
    launch(tmp_path, "trap '' TERM; while :; do sleep 0.05; done")
    time.sleep(0.1)
    began = time.monotonic()
    processes.stop(tmp_path / "r", grace=timedelta(milliseconds=300))
    assert 0.3 <= time.monotonic() - began < 2
    assert processes.find(tmp_path / "r") is None


def test_what_a_process_writes_to_its_two_outputs_keeps_its_order(tmp_path):
    child = launch(tmp_path, "i=0; while [ $i -lt 2000 ]; do echo $i; echo $((i + 1)) >&2; i=$((i + 2)); done")
    assert child.wait(30) == 0
    assert (tmp_path / "out").read_text().split() == [str(number) for number in range(2000)]


def test_another_process_with_the_recorded_pid_is_not_taken_for_ours(tmp_path):
    child = launch(tmp_path, "sleep 60")
    record = tmp_path / "r" / processes.RECORD
    processes.find(tmp_path / "r")
    text = record.read_text()
    processes.stop(tmp_path / "r", grace=SHORT)
    fields = text.split(" ")
    own = Path(f"/proc/{os.getpid()}/stat").read_text().split(" ")
    assert fields[-31] != own[-31]
    record.write_text(text.replace(str(child.pid), str(os.getpid())))
    assert processes.find(tmp_path / "r") is None


def test_a_record_of_another_boot_or_of_a_container_that_has_started_again_names_no_process_of_ours(tmp_path):
    child = launch(tmp_path, "sleep 60")
    try:
        assert processes.find(tmp_path / "r") == processes.started(child)
        text = (tmp_path / "r" / processes.RECORD).read_text()
        machine, init = text.split("\n")[0].split(" ")
        for other in (text.replace(machine, machine[::-1], 1), text.replace(f" {init}", f" {init}0", 1)):
            (tmp_path / "r" / processes.RECORD).write_text(other)
            assert processes.recorded(tmp_path / "r") is None
    finally:
        child.kill()
        child.wait()


def test_a_process_survives_the_kill_of_whoever_launched_it_and_is_found_by_the_next(tmp_path):
    script = textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        sys.path[:0] = {sys.path[:2]!r}
        from runtime import processes
        folder = Path({str(tmp_path)!r})
        processes.launch(["sleep", "60"], record=folder / "r", env={ENV!r}, cwd=folder, output=folder / "out")
        os.kill(os.getpid(), 9)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    found = processes.find(tmp_path / "r")
    assert found
    assert psutil.Process(found.pid).cmdline() == ["sleep", "60"]
    processes.stop(tmp_path / "r", grace=SHORT)


def test_a_second_launch_waits_for_a_launcher_that_has_not_recorded_its_process_yet(tmp_path):
    (tmp_path / "r").mkdir()
    with (tmp_path / "r" / processes.LOCK).open("w") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(processes.StillStarting):
            launch(tmp_path, "sleep 60")


def test_a_finished_run_gives_its_status_and_its_output(tmp_path):
    status = processes.run(
        ["/bin/sh", "-c", "echo hello; echo oops >&2; exit 3"],
        **{"record": tmp_path / "r", "env": ENV, "cwd": tmp_path, "output": tmp_path / "out"},
        keep_going=lambda: True,
    )
    assert status == 3
    assert (tmp_path / "out").read_text() == "hello\noops\n"


def test_a_run_that_may_not_go_on_is_stopped_with_its_children(tmp_path):
    began = time.monotonic()
    status = processes.run(
        ["/bin/sh", "-c", "sleep 63 & sleep 63"],
        **{"record": tmp_path / "r", "env": ENV, "cwd": tmp_path, "output": tmp_path / "out"},
        keep_going=lambda: time.monotonic() - began < 0.3,
    )
    assert status == -signal.SIGKILL
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "63"]]


def test_the_program_does_not_inherit_the_lock(tmp_path):
    launch(tmp_path, "ls -l /proc/self/fd; sleep 60")
    time.sleep(0.2)
    assert processes.LOCK not in (tmp_path / "out").read_text().replace("total", "")
    processes.stop(tmp_path / "r", grace=SHORT)
