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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

TERM_TIME = timedelta(seconds=10)
KILL_WITHIN_S = 2.0
LAUNCH_WITHIN_S = 1.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
HAS_PROC = Path("/proc/self/stat").exists()
RECORD, LOCK = "process", "lock"

# Shell built-ins only. $0 is the record, $1 the boot, the standard input is the lock: the program does not inherit it.
_LAUNCHER = """
if [ -r /proc/$$/stat ]; then IFS= read -r born </proc/$$/stat; else born=$$; fi
boot=$1; shift
printf '%s\\n%s\\n' "$boot" "$born" >"$0" || exit 126
exec "$@" </dev/null
"""


class StillStarting(RuntimeError):
    """A launcher holds the record's lock; its process will be found in a moment."""


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

    def send(self, number: signal.Signals) -> None:
        """Signal every process of its session."""
        for pid in list(self.session_members()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to all of its session, again until none is left: one may fork while we look."""
        deadline = time.monotonic() + KILL_WITHIN_S
        while any(self.session_members()) and time.monotonic() < deadline:
            self.send(signal.SIGKILL)
            time.sleep(0.005)


def launch(
    argv: Sequence[str],
    *,
    record: Path,
    env: Mapping[str, str],
    cwd: Path,
    output: Path,
    passed: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, its output appended to `output`, and record it in the folder `record`.

    It inherits the descriptors that are `passed`, by the same numbers.

    Raises StillStarting when an earlier launch into the same record has not finished.
    """
    record.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(record / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(lock)
        (record / RECORD).unlink(missing_ok=True)
        with output.open("ab") as out:
            command = ["/bin/sh", "-c", _LAUNCHER, str(record / RECORD), _boot(), *argv]
            return subprocess.Popen(
                command, env=dict(env), cwd=cwd, stdin=lock, stdout=out, stderr=out, start_new_session=True,
                pass_fds=passed,
            )  # fmt: skip
    finally:
        os.close(lock)


def started(child: subprocess.Popen[bytes]) -> Process:
    """The process of a launch, also when it has ended already. For its parent, before it has waited for it."""
    return Process(*_parse(Path(f"/proc/{child.pid}/stat").read_text() if HAS_PROC else str(child.pid)))


def exit_status(child: subprocess.Popen[bytes]) -> int | None:
    """How a launched process ended (negative: by that signal), None while it runs.

    Raises ChildProcessError when somebody else has waited for it, so that nobody can tell. Popen would say 0.
    """
    if child.returncode is None:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        child.returncode = os.waitstatus_to_exitcode(status) if pid else None
    return child.returncode


def _lock(lock: int) -> None:
    """Take the lock; a child forked by another thread may hold a copy of it until its exec."""
    deadline = time.monotonic() + LAUNCH_WITHIN_S
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StillStarting from None
            time.sleep(0.005)


def find(record: Path) -> Process | None:
    """The living process of the record, if there is one. Waits for a launcher at work, for at most a second.

    Raises StillStarting when that has recorded nothing by then.
    """
    process = _settled(record)
    return process if process and process.is_alive() else None


def _settled(record: Path) -> Process | None:
    deadline = time.monotonic() + LAUNCH_WITHIN_S
    while _is_locked(record):
        if time.monotonic() > deadline:
            if process := recorded(record):
                return process
            raise StillStarting
        time.sleep(0.005)
    return recorded(record)


def recorded(record: Path) -> Process | None:
    """The process that the record names, alive or not; None for one of an earlier boot."""
    try:
        boot, born, *_ = (record / RECORD).read_text().split("\n")
    except (FileNotFoundError, ValueError):
        return None
    return Process(*_parse(born)) if born and boot == _boot() else None


def _is_locked(record: Path) -> bool:
    try:
        with (record / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _boot() -> str:
    """This boot of the machine or, by the start of its first process, of the container that we are in."""
    return f"{BOOT_ID.read_text().strip()} {_born(1)}" if BOOT_ID.exists() else ""


def _parse(stat: str) -> tuple[int, str]:
    """Pid and start of a line of /proc/<pid>/stat; without /proc the launcher wrote the pid alone."""
    pid = int(stat.split(" ", 1)[0])
    return (pid, stat.rpartition(")")[2].split()[19]) if " " in stat else (pid, "")


def _born(pid: int) -> str | None:
    """When the process started, None when it does not run. See proc(5): field 3 is the state, 20 counts threads."""
    if not HAS_PROC:
        return "" if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    has_ended = fields[0] in "ZX" and int(fields[17]) <= 1  # as a zombie the first thread waits for the others
    return None if has_ended else fields[19]


def members(session: int) -> Iterator[int]:
    """The living processes of a session."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == session and _born(pid):
                yield pid


def stop(record: Path, *, grace: timedelta = TERM_TIME) -> None:
    """Make it so that nothing of the record runs: SIGTERM, `grace`, SIGKILL; then the record is gone."""
    stop_all([record], grace=grace)


def stop_all(records: Sequence[Path], *, grace: timedelta = TERM_TIME) -> int:
    """The same for many at once, within one `grace`; how many processes ran. To wait for them is their parent's."""
    found = dict(_recorded(records))
    count = sum(len(list(process.session_members())) for process in found.values())
    for process in found.values():
        process.send(signal.SIGTERM)
    _wait_gone(found.values(), grace)
    for record, process in found.items():
        process.kill()
        (record / RECORD).unlink(missing_ok=True)
    return count


def _recorded(records: Iterable[Path]) -> Iterator[tuple[Path, Process]]:
    for record in records:
        with contextlib.suppress(StillStarting):  # whoever looks next finds it
            if process := _settled(record):
                yield record, process


def _wait_gone(found: Collection[Process], limit: timedelta) -> None:
    deadline = time.monotonic() + limit.total_seconds()
    while any(next(process.session_members(), None) for process in found) and time.monotonic() < deadline:
        time.sleep(0.02)


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
    process = started(child)
    try:
        pause_s = 0.005
        while child.poll() is None and keep_going():
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.1)
    finally:
        process.kill()
        status = child.wait()
        (record / RECORD).unlink(missing_ok=True)
    return status
