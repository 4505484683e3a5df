"""Processes that outlive us and are found again.

Each is the leader of its own session and is known by a *record*: a folder in which its launcher wrote, before it became
the program, its pid, when that process started and in which boot. While the launcher is at work it holds a lock in that
folder, so there is no moment at which a process exists that nobody could find.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

TERM_TIME = timedelta(seconds=10)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
HAS_PROC = Path("/proc/self/stat").exists()
RECORD, LOCK = "process", "lock"

# Shell built-ins only. $0 is the record, the standard input is the lock: the program does not inherit it.
_LAUNCHER = f"""
if [ -r /proc/$$/stat ]; then IFS= read -r born </proc/$$/stat; IFS= read -r boot <{BOOT_ID}; else born=$$; fi
printf '%s\\n%s\\n' "$boot" "$born" >"$0" || exit 126
exec "$@" </dev/null
"""


class StillStarting(RuntimeError):
    """An earlier launcher holds the record's lock; its process will be found in a moment."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process by pid and the moment it started (clock ticks since boot; blank where there is no /proc)."""

    pid: int
    born: str

    def is_alive(self) -> bool:
        """Whether that very process runs; a zombie or another process with the same pid does not count."""
        return _born(self.pid) == self.born

    def session_members(self) -> Iterator[int]:
        """The living processes of its session, also when it has ended itself."""
        is_another = _born(self.pid) not in {None, self.born}
        return iter(()) if is_another else members(self.pid)


def launch(
    argv: Sequence[str], *, record: Path, env: Mapping[str, str], cwd: Path, output: Path
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, its output appended to `output`, and record it in the folder `record`.

    Raises StillStarting when an earlier launch into the same record has not finished.
    """
    record.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(record / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(lock)
        (record / RECORD).unlink(missing_ok=True)
        with output.open("ab") as out:
            return _spawn(argv, lock, record, env=env, cwd=cwd, out=out.fileno())
    finally:
        os.close(lock)


def _lock(lock: int) -> None:
    """Take the lock; a child forked by another thread may hold a copy of it until its exec."""
    deadline = time.monotonic() + 1
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StillStarting from None
            time.sleep(0.005)


def _spawn(
    argv: Sequence[str], lock: int, record: Path, *, env: Mapping[str, str], cwd: Path, out: int
) -> subprocess.Popen[bytes]:
    command = ["/bin/sh", "-c", _LAUNCHER, str(record / RECORD), *argv]
    return subprocess.Popen(command, env=dict(env), cwd=cwd, stdin=lock, stdout=out, stderr=out, start_new_session=True)


def find(record: Path) -> Process | None:
    """The living process of the record, if there is one. Waits for a launcher at work, for at most a second."""
    deadline = time.monotonic() + 1
    while _is_locked(record) and time.monotonic() < deadline:
        time.sleep(0.005)
    process = recorded(record)
    return process if process and process.is_alive() else None


def recorded(record: Path) -> Process | None:
    """The process that the record names, alive or not; None for one of an earlier boot."""
    try:
        boot, born, *_ = (record / RECORD).read_text().split("\n")
    except (FileNotFoundError, ValueError):
        return None
    return Process(*_parse(born)) if born and boot == _boot_id() else None


def _is_locked(record: Path) -> bool:
    try:
        with (record / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _boot_id() -> str:
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""


def _parse(stat: str) -> tuple[int, str]:
    """Pid and start of a line of /proc/<pid>/stat; without /proc the launcher wrote the pid alone."""
    pid = int(stat.split(" ", 1)[0])
    return (pid, stat.rpartition(")")[2].split()[19]) if " " in stat else (pid, "")


def _born(pid: int) -> str | None:
    """When the process started, None when it does not run. See proc(5): field 3 is the state, 22 the start."""
    if not HAS_PROC:
        return "" if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def members(session: int) -> Iterator[int]:
    """The living processes of a session."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == session and _born(pid):
                yield pid


def send(session: int, number: signal.Signals) -> None:
    """Signal every process of a session."""
    for pid in list(members(session)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def stop(record: Path, *, grace: timedelta = TERM_TIME) -> None:
    """Make it so that nothing of the record runs: SIGTERM, `grace`, SIGKILL; then the record is gone."""
    stop_all([record], grace=grace)


def stop_all(records: Sequence[Path], *, grace: timedelta = TERM_TIME) -> None:
    """The same for many at once, within one `grace`."""
    sessions = [process.pid for record in records if (process := find(record))]
    for session in sessions:
        send(session, signal.SIGTERM)
    _wait_gone(sessions, grace)
    for session in sessions:
        _kill(session)
    for record in records:
        (record / RECORD).unlink(missing_ok=True)


def _wait_gone(sessions: Sequence[int], limit: timedelta) -> None:
    deadline = time.monotonic() + limit.total_seconds()
    while time.monotonic() < deadline:
        _reap(sessions)
        if not any(next(members(session), None) for session in sessions):
            return
        time.sleep(0.02)


def _kill(session: int) -> None:
    """SIGKILL to all of a session, again until none is left: one may fork while we look."""
    deadline = time.monotonic() + 2
    while list(members(session)) and time.monotonic() < deadline:
        send(session, signal.SIGKILL)
        _reap([session])
        time.sleep(0.005)


def _reap(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def run(
    argv: Sequence[str],
    *,
    record: Path,
    env: Mapping[str, str],
    cwd: Path,
    output: Path,
    keep_going: Callable[[], bool],
) -> int:
    """Run `argv` to its end and return its exit status (negative: the signal that ended it).

    What an earlier attempt left running in the record is stopped first. `keep_going` is asked ten times a second; when
    it says no or raises, everything of the session is stopped.
    """
    stop(record, grace=timedelta(seconds=1))
    child = launch(argv, record=record, env=env, cwd=cwd, output=output)
    try:
        pause_s = 0.005
        while child.poll() is None and keep_going():
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.1)
    finally:
        child.poll()  # before another could reap it
        send(child.pid, signal.SIGKILL)
        status = child.wait()
        _kill(child.pid)
        (record / RECORD).unlink(missing_ok=True)
    return status
