"""Why a server does not run."""

from __future__ import annotations

import errno
from pathlib import Path

from project.oneline import FOLD


class CannotRun(Exception):
    """The server cannot run; the text is one sentence that names what is wrong and the way out."""


def from_os_error(error: OSError, *, doing: str) -> CannotRun:
    """The sentence for an operating system's error: a full disk, a folder that is not ours, or the error itself."""
    where = error.filename or "the disk"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CannotRun(f"The disk is full ({where}): free some space, or set MICRO_HOME to a folder on another disk.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return CannotRun(f"{where} cannot be written by this user: set MICRO_HOME to a folder that can.")
    return CannotRun(f"{doing} failed: {error.strerror or error} ({where}).")


def lines(log: Path, start: int = 0) -> list[str]:
    """The last lines of a log (8 kB at most) that say something, none of them from before byte `start`."""
    if not log.exists():
        return []
    size = log.stat().st_size
    with log.open("rb") as file:
        file.seek(max(start if start <= size else 0, size - 8192))
        text = file.read().decode(errors="replace").replace(FOLD, "\n")
    return [line.strip() for line in text.splitlines() if line.strip()]


def reason(log: Path, start: int = 0) -> str:
    """The last line of a log that looks like an error, else its last line; no full stop, blank for an empty log."""
    found = lines(log, start)
    telling = [line for line in found if "FATAL" in line or "rror:" in line]
    return (telling or found or [""])[-1].rstrip(".")
