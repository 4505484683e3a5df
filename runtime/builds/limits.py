"""What a build may print and how much memory it may use, and how commands in place are held to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
from django.conf import settings

from micro.errors import ResourceExhausted
from runtime import cgroups, folders, processes
from runtime.attempts import Attempt

LARGEST_LOG_BYTES = 10 << 20
LOOKED_EVERY_S = 0.2


def memory_bytes() -> int:
    """What all processes of one build may use together."""
    return int(settings.MICRO_BUILD_MEMORY_MIB) << 20


def run(argv: Sequence[str], attempt: Attempt, *, env: Mapping[str, str], cwd: Path) -> int:
    """Run one command of a build in place; its exit status.

    Raises ResourceExhausted when it prints too much or when all its processes together use too much memory.
    """
    name = f"micro-build-{attempt.deployment_id}"
    within_log = printing_within(attempt)
    with cgroups.limited(name, cgroups.Limits(memory_bytes())) as group:
        if not (group and cgroups.holds_memory(name)):
            return attempt.run(argv, env=env, cwd=cwd, may_go_on=_watching_memory(attempt, within_log))
        status = attempt.run(cgroups.within(name, argv), env=env, cwd=cwd, may_go_on=within_log)
        if status != 0 and cgroups.has_run_out(name):
            raise ResourceExhausted(too_much_memory())
        return status


def too_much_memory() -> str:
    """The reason of a build that was ended for its memory."""
    mib = settings.MICRO_BUILD_MEMORY_MIB
    return f"The build used more than {mib} MiB of memory and was stopped; MICRO_BUILD_MEMORY_MIB sets the limit."


def is_killed(line: str) -> bool:
    """Whether a builder of images says so of a step that the kernel ended, as it does for too much memory."""
    return line.rstrip(".").endswith(("exit code: 137", "non-zero code: 137"))


def printing_within(attempt: Attempt) -> Callable[[], bool]:
    """Whether the attempt may go on; raises ResourceExhausted once it has printed too much from here on."""
    began = attempt.log.stat().st_size if attempt.log.exists() else 0

    def may_go_on() -> bool:
        if attempt.log.exists() and attempt.log.stat().st_size - began > LARGEST_LOG_BYTES:
            os.truncate(attempt.log, began + LARGEST_LOG_BYTES)  # it may have printed far more since the last look
            raise ResourceExhausted(f"The build printed more than {LARGEST_LOG_BYTES >> 20} MiB and was stopped.")
        return attempt.may_go_on()

    return may_go_on


def _watching_memory(attempt: Attempt, ask: Callable[[], bool]) -> Callable[[], bool]:
    """The same question, for where no control group can be made: now and then the processes are looked at."""
    looked_at = 0.0

    def may_go_on() -> bool:
        nonlocal looked_at
        if time.monotonic() - looked_at > LOOKED_EVERY_S:
            looked_at = time.monotonic()
            if _resident_bytes(folders.jobs() / str(attempt.deployment_id)) > memory_bytes():
                raise ResourceExhausted(too_much_memory())
        return ask()

    return may_go_on


def _resident_bytes(record: Path) -> int:
    leader = processes.recorded(record)
    return sum(_resident(pid) for pid in leader.session_members()) if leader else 0


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:  # it has ended meanwhile
        return 0
