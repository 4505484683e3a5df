"""A control group for one BuildKit build: BuildKit takes no memory limit, but it builds below a group that has one."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
EMPTIED_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What all processes of a group may use together."""

    memory_bytes: int
    cpus: int
    pids: int


@contextmanager
def limited(name: str, limits: Limits) -> Iterator[str]:
    """The path of a group with these limits; blank where this process may make none. At the end nothing runs in it."""
    folders = limit(name, limits)
    try:
        yield f"/{name}" if folders else ""
    finally:
        _empty(folders)


def limit(name: str, limits: Limits) -> list[Path]:
    """Make it so that the group is there and has these limits; the folders of it that could be made so."""
    is_unified = (ROOT / "cgroup.controllers").exists()
    wanted = _unified(ROOT / name, limits) if is_unified else _separate(name, limits)
    return [folder for folder, values in wanted.items() if _write(folder, values)]


def _unified(folder: Path, limits: Limits) -> dict[Path, dict[str, object]]:
    cpus = f"{limits.cpus * PERIOD_US} {PERIOD_US}"
    return {folder: {"memory.max": limits.memory_bytes, "memory.swap.max": 0, "cpu.max": cpus, "pids.max": limits.pids}}


def _separate(name: str, limits: Limits) -> dict[Path, dict[str, object]]:
    """With one hierarchy for each resource, as before version 2."""
    memory = limits.memory_bytes
    return {
        ROOT / "memory" / name: {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory},
        ROOT / "cpu" / name: {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": limits.cpus * PERIOD_US},
        ROOT / "pids" / name: {"pids.max": limits.pids},
    }


def _write(folder: Path, values: dict[str, object]) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refused = [file for file, value in values.items() if not _set(folder / file, value)]
        # Memory alone may not exceed memory with swap, so the order matters, and it is the other one when both grow.
        still_refused = [file for file in refused if not _set(folder / file, values[file])]
        return not still_refused
    except OSError:
        return False


def _set(file: Path, value: object) -> bool:
    """False when the kernel refuses the value now. A limit that it does not know, such as one for swap, is left out."""
    try:
        file.write_text(str(value))
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


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
