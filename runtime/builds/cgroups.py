"""A control group for one BuildKit build: BuildKit takes no memory limit, but it builds below a group that has one."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
EMPTIED_WITHIN_S = 5.0


@contextmanager
def limited(name: str, *, memory_bytes: int, cpus: int, pids: int) -> Iterator[str]:
    """The path of a group with these limits; blank where this process may make none. At the end nothing runs in it."""
    folders = list(_made(name, memory_bytes, cpus, pids))
    try:
        yield f"/{name}" if folders else ""
    finally:
        _empty(folders)


def _made(name: str, memory_bytes: int, cpus: int, pids: int) -> Iterator[Path]:
    is_unified = (ROOT / "cgroup.controllers").exists()
    quota = cpus * PERIOD_US
    wanted = (
        {ROOT / name: {"memory.max": memory_bytes, "memory.swap.max": 0, "cpu.max": f"{quota} {PERIOD_US}", "pids.max": pids}}
        if is_unified
        else {
            ROOT / "memory" / name: {"memory.limit_in_bytes": memory_bytes, "memory.memsw.limit_in_bytes": memory_bytes},
            ROOT / "cpu" / name: {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": quota},
            ROOT / "pids" / name: {"pids.max": pids},
        }
    )
    for folder, limits in wanted.items():
        try:
            folder.mkdir(exist_ok=True)
            for file, value in limits.items():
                with contextlib.suppress(FileNotFoundError):  # a kernel without this limit, such as one for swap
                    (folder / file).write_text(str(value))
        except OSError:
            continue
        yield folder


def _empty(folders: list[Path]) -> None:
    deadline = time.monotonic() + EMPTIED_WITHIN_S
    while time.monotonic() < deadline:
        inside = {pid for folder in folders for pid in _members(folder)}
        for pid in inside:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for folder in folders:
            _remove(folder)
        if not any(folder.exists() for folder in folders):
            return
        time.sleep(0.05)


def _members(folder: Path) -> Iterator[int]:
    for path in folder.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            yield from map(int, path.read_text().split())


def _remove(folder: Path) -> None:
    below = sorted((path for path in folder.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    for path in (*below, folder):
        with contextlib.suppress(OSError):
            path.rmdir()
