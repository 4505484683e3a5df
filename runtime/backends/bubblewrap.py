"""Walls around a process where bubblewrap works: it sees neither this server's state nor any other process.

Pure but for `works`, which tries it. The network is this machine's own: walls against mistakes, not against strangers.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from django.conf import settings

AUTO, OFF = "auto", "off"
TRY_TIMEOUT_S = 10
PROGRAM = "bwrap"


def is_used() -> bool:
    """Whether processes are walled in here: unless the operator says no, where it works."""
    return settings.MICRO_BUBBLEWRAP != OFF and works()


@functools.cache
def works() -> bool:
    """Whether a program runs within such walls on this machine."""
    program = shutil.which(PROGRAM)
    if program is None:
        return False
    try:
        done = subprocess.run(
            [program, *_walls(hidden=(), shown=()), "/bin/sh", "-c", "exit 0"],
            check=False,
            capture_output=True,
            timeout=TRY_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def around(argv: Sequence[str], *, folder: Path, source: Path, home: Path, shown: Iterable[Path]) -> list[str]:
    """The command line that runs `argv` in `folder` of `source`: with /tmp and its `home` all that it may write to.

    `home` is empty and in memory. Of this server's state it sees `source` and what is in `shown`.
    """
    program = shutil.which(PROGRAM) or PROGRAM
    kept = [word for path in shown if path.exists() for word in ("--ro-bind", str(path), str(path))]
    own = ["--bind", str(source), str(source), "--tmpfs", str(home), "--chdir", str(folder)]
    return [program, *_walls(hidden=_state(), shown=(*kept, *own)), "--", *argv]


def _walls(*, hidden: Iterable[Path], shown: Iterable[str]) -> Iterator[str]:
    """A read-only machine without other processes. No new session: ours are found and ended by their session."""
    yield from ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL")
    yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp")  # noqa: S108 - its own
    for path in hidden:
        yield from ("--tmpfs", str(path))
    yield from shown


def _state() -> list[Path]:
    """Where this server keeps what is nobody else's: its state, sockets and database, and its user's tokens."""
    home = Path(settings.MICRO_HOME)
    found = [Path.home() / ".micro", home, Path(settings.MICRO_RUN), (home / "postgres").resolve().parent]
    return [path for path in dict.fromkeys(found) if path.exists()]
