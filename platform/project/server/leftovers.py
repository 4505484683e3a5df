"""What a killed server left behind: its processes, found by their environment, and Postgres, by its lock file."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from project.embedded import postgres
from runtime.backends import choice

from .errors import CannotRun
from .plan import Plan

MARK = "MICRO_SUPERVISED_HOME"  # set for supervised processes only, to their server's MICRO_HOME
GRACE_S = 4.0


LOCK = "server.lock"


def is_new(home: Path) -> bool:
    """Whether no server has ever run on this state folder."""
    return not (home / LOCK).exists()


@contextmanager
def only_server(home: Path) -> Iterator[None]:
    """Hold the state folder for this server alone. The kernel lets go of it when we die, however we die."""
    handle = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode() or "unknown"
            raise CannotRun(
                f"A server already runs on {home} (pid {holder}): stop it, or set MICRO_HOME to another folder."
            ) from None
        os.truncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)


def clean_up(plan: Plan) -> int:
    """End every process that an earlier server on this state left, and remove its sockets; how many processes."""
    found = list(_supervised(plan.home))
    database = _postgres(plan) if "postgres" in plan.embedded else None
    for process in found:
        _signal(process, signal.SIGTERM)
    if database:
        _signal(database, signal.SIGINT)
        found.append(database)
    for process in _still_alive(found):
        for member in _family(process):
            _signal(member, signal.SIGKILL)
        _still_alive([process])
    _remove_sockets(plan.run)
    return len(found)


def end(plan: Plan) -> str:
    """End all that a killed server left, its services too; what that was, in a sentence, blank when it is nothing.

    Raises CannotRun while a server runs on this state.
    """
    with only_server(plan.home):
        own = clean_up(plan)
        services = choice.stop_everything()
        remove_run_folder(plan)
    counts = ((own + services.processes, "process", "processes"), (services.containers, "container", "containers"))
    left = " and ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count)
    return f"A killed server had left {left}: ended." if left else ""


def count(plan: Plan) -> int:
    """How many processes of a server on this state run, whether it does or was killed. Changes nothing."""
    return sum(1 for _ in _supervised(plan.home))


def remove_run_folder(plan: Plan) -> None:
    """Take away what lies in the folder of the sockets, and the folder too unless the operator keeps more in it."""
    _remove_sockets(plan.run)
    for name in ("supervisor.conf", "supervisor.pid"):
        (plan.run / name).unlink(missing_ok=True)
    for folder in (plan.run / "postgres", plan.run):
        with suppress(OSError):  # not there, or not empty
            folder.rmdir()


def _supervised(home: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(home):
                yield process


def _postgres(plan: Plan) -> psutil.Process | None:
    """The postmaster of this server's cluster if it runs. Removes the lock file when another program has its pid."""
    lock = postgres.cluster(plan.home) / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().split("\n", 1)[0]))
        if Path(process.exe()).name == "postgres" and str(lock.parent) in process.cmdline():
            return process
    except psutil.AccessDenied:
        pass  # somebody else's process: not our Postgres
    except (psutil.NoSuchProcess, OSError, ValueError):
        return None
    lock.unlink()
    return None


def _family(process: psutil.Process) -> list[psutil.Process]:
    """The process and all below it; nothing when it ended meanwhile, as a child does whose parent was ended first."""
    try:
        return [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return []


def _still_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return psutil.wait_procs(processes, timeout=GRACE_S)[1]


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _remove_sockets(run: Path) -> None:
    for socket in run.glob("*.sock"):
        socket.unlink()
