"""What a build in place may use: log, time and memory, with a control group and without."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

import pytest
from building import build_in_place, write_source

from micro.errors import DeadlineExceeded, ResourceExhausted
from project.server import backend
from runtime import cgroups
from runtime.builds import limits

ENV = {"PATH": os.environ["PATH"]}
HOG = "import time; x = bytearray(400 << 20); time.sleep(60)"


@pytest.fixture(params=["held by a control group", "looked at"])
def keeping(request, monkeypatch, tmp_path, settings) -> str:
    settings.MICRO_BUILD_MEMORY_MIB = 200
    if request.param == "looked at":
        monkeypatch.setattr(cgroups, "ROOT", tmp_path / "none" / "cgroup")
        (tmp_path / "none").touch()  # nothing can be made below a file
    elif not cgroups.can_hold_memory():
        pytest.skip("No control group can be made here: run as root, with the memory controller.")
    return request.param


def test_a_build_in_place_that_uses_too_much_memory_is_stopped_and_the_setting_is_named(keeping, attempt, tmp_path):
    with pytest.raises(ResourceExhausted, match=r"more than 200 MiB of memory .*MICRO_BUILD_MEMORY_MIB"):
        limits.run(["sh", "-c", f"{sys.executable} -c '{HOG}'"], attempt, env=ENV, cwd=tmp_path)


def test_a_build_in_place_that_uses_less_is_not(keeping, attempt, tmp_path):
    argv = [sys.executable, "-c", "x = bytearray(50 << 20); print(len(x))"]
    assert limits.run(argv, attempt, env=ENV, cwd=tmp_path) == 0
    assert attempt.log.read_text() == f"{50 << 20}\n"
    assert not list(cgroups.ROOT.glob(f"**/micro-build-{attempt.deployment_id}"))


def test_at_the_start_of_the_server_it_is_said_what_holds(keeping):
    words = "a control group holds them to it" if keeping.startswith("held") else "they are looked at now and then"
    assert backend.shown().endswith(f"; builds may use 200 MiB of memory ({words})")


def test_a_build_in_place_that_prints_without_end_is_stopped(attempt, tmp_path):
    files = {"package.json": '{"scripts":{"build":"yes a-line","start":"x"}}'}
    with pytest.raises(ResourceExhausted, match="printed more than 10 MiB"):
        build_in_place(write_source(tmp_path / "source", files), attempt)
    assert attempt.log.stat().st_size < 2 * limits.LARGEST_LOG_BYTES


def test_a_build_in_place_whose_time_is_over_ends(attempt, tmp_path):
    deadline = time.monotonic() + 2

    def may_go_on() -> bool:
        if time.monotonic() > deadline:
            raise DeadlineExceeded("too long")
        return True

    timed = replace(attempt, may_go_on=may_go_on)
    files = {"package.json": '{"scripts":{"build":"sleep 600","start":"x"}}'}
    with pytest.raises(DeadlineExceeded):
        build_in_place(write_source(tmp_path / "source", files), timed)
