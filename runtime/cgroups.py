"""A control group for one build: BuildKit, which takes no memory limit, builds below it; commands in place enter it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
EMPTIED_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What all processes of a group may use together; 0 leaves a thing open."""

    memory_bytes: int
    cpus: int = 0
    pids: int = 0


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
    wanted: dict[str, object] = {"memory.max": limits.memory_bytes, "memory.swap.max": 0}
    if limits.cpus:
        wanted["cpu.max"] = f"{limits.cpus * PERIOD_US} {PERIOD_US}"
    if limits.pids:
        wanted["pids.max"] = limits.pids
    return {folder: wanted}


def _separate(name: str, limits: Limits) -> dict[Path, dict[str, object]]:
    """With one hierarchy for each resource, as before version 2."""
    memory = limits.memory_bytes
    wanted: dict[Path, dict[str, object]] = {
        ROOT / "memory" / name: {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory},
    }
    if limits.cpus:
        quota_us = limits.cpus * PERIOD_US
        wanted[ROOT / "cpu" / name] = {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": quota_us}
    if limits.pids:
        wanted[ROOT / "pids" / name] = {"pids.max": limits.pids}
    return wanted


def holds_memory(name: str) -> bool:
    """Whether the kernel limits the memory of this group: a group may be there without."""
    return any((folder / file).exists() for folder in _of_memory(name) for file in _MEMORY_LIMITS)


def can_hold_memory() -> bool:
    """Whether this process may make groups whose memory the kernel limits."""
    name = f"micro-try-{os.getpid()}"
    with limited(name, Limits(memory_bytes=1 << 30)) as group:
        return bool(group) and holds_memory(name)


def has_run_out(name: str) -> bool:
    """Whether a process of the group was ended because all of them together used too much memory."""
    files = [folder / file for folder in _of_memory(name) for file in ("memory.events", "memory.oom_control")]
    lines = [line.split() for file in files if file.exists() for line in file.read_text().splitlines()]
    return any(words[0] == "oom_kill" and int(words[1]) > 0 for words in lines if len(words) == 2)


def within(name: str, argv: Sequence[str]) -> list[str]:
    """The command that enters the group and becomes `argv`."""
    groups = [str(folder / "cgroup.procs") for folder in _of_memory(name) if folder.exists()]
    return ["/bin/sh", "-c", 'echo $$ >"$0" || exit 126; exec "$@"', groups[0], *argv]


_MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes")


def _of_memory(name: str) -> tuple[Path, ...]:
    return ROOT / name, ROOT / "memory" / name


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
    if not file.exists():
        return True
    try:
        file.write_text(str(value))
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
