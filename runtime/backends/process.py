"""Replicas as processes of this machine: each its own session, found again by its record. For one trusted user."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from runtime import folders, processes

from . import Launch, bubblewrap

HOST = "127.0.0.1"
STOP_ALL_GRACE = timedelta(seconds=2.5)
UNKNOWN_END = "ended with an unknown exit status"  # only its parent is told, and that was an earlier runner
SIGNALLED = 128  # what shells and bubblewrap add to the number of the signal that ended their child


@dataclass(slots=True)
class _Known:
    process: processes.Process
    child: subprocess.Popen[bytes] | None = None  # only when this runner started it
    descriptor: int | None = None

    def is_alive(self) -> bool:
        return self.exit_status() is None and (self.child is not None or self.process.is_alive())

    def exit_status(self) -> int | None:
        """None while it runs, and when that cannot be known."""
        try:
            return processes.exit_status(self.child) if self.child else None
        except ChildProcessError:
            self.child = None  # somebody else has waited for it
            return None


class Process:
    """The backend `process`."""

    shares_ports = True

    def __init__(self) -> None:
        self._known: dict[UUID, _Known] = {}
        self._ends: dict[UUID, int] = {}

    def start(self, launch: Launch) -> None:
        if self.is_running(launch.replica_id):
            return
        if launch.image:
            raise OSError("it was built for the docker backend, as an image; deploy it again")
        self._end(launch.replica_id)
        record = _record(launch.replica_id)
        launch.log.touch()
        child = _walled(launch, record) if bubblewrap.is_used() else _plain(launch, record)
        self._know(launch.replica_id, _Known(processes.started(child), child))

    def is_running(self, replica_id: UUID) -> bool:
        try:
            known = self._found(replica_id)
        except processes.StillStarting:
            return True
        if known is None:
            return False
        if known.is_alive():
            return True
        self._unwatch(replica_id, known)
        return False

    def is_gone(self, replica_id: UUID) -> bool:
        if self.is_running(replica_id):
            return False
        process = self._process(replica_id)
        return process is None or not any(process.session_members())

    def terminate(self, replica_id: UUID) -> None:
        self._send(replica_id, signal.SIGTERM)

    def kill(self, replica_id: UUID) -> None:
        self._send(replica_id, signal.SIGKILL)

    def forget(self, replica_id: UUID) -> None:
        try:
            self._found(replica_id)
        except processes.StillStarting:
            return  # without its record nobody could find it; as a stranger it is forgotten later
        self._end(replica_id)
        if known := self._known.pop(replica_id, None):
            self._unwatch(replica_id, known)
        self._ends.pop(replica_id, None)
        folders.remove(_record(replica_id))

    def last_words(self, replica_id: UUID) -> str:
        status = self._ends.get(replica_id)
        if status is None:
            return UNKNOWN_END
        number = -status if status < 0 else status - SIGNALLED
        if number in set(signal.Signals):
            return f"was ended by signal {signal.Signals(number).name}"
        return f"ended with status {status}"

    def replica_ids(self) -> Collection[UUID]:
        return list(_recorded())

    def descriptors(self) -> Mapping[int, UUID]:
        return {known.descriptor: key for key, known in self._known.items() if known.descriptor is not None}

    def endpoint(self, replica_id: UUID, port: int | None) -> tuple[str, int] | None:
        return (HOST, port) if port else None

    def trouble(self, replica_id: UUID) -> str:
        return ""  # a process has no limits of its own

    def refusal(self) -> str:
        return "The process backend keeps services apart from neither this machine nor each other."

    def _found(self, replica_id: UUID) -> _Known | None:
        """What is known of it, or the living process that an earlier runner started; None when there is neither.

        Raises StillStarting when such a runner was killed in the middle of that.
        """
        if known := self._known.get(replica_id):
            return known
        process = processes.find(_record(replica_id))
        return self._know(replica_id, _Known(process)) if process else None

    def _know(self, replica_id: UUID, known: _Known) -> _Known:
        self._known[replica_id] = known
        self._ends.pop(replica_id, None)
        with contextlib.suppress(AttributeError, ProcessLookupError):  # no pidfd on this system; it has just ended
            known.descriptor = os.pidfd_open(known.process.pid)
        return known

    def _unwatch(self, replica_id: UUID, known: _Known) -> None:
        if (status := known.exit_status()) is not None:
            self._ends[replica_id] = status
        if known.descriptor is not None:
            os.close(known.descriptor)
            known.descriptor = None

    def _process(self, replica_id: UUID) -> processes.Process | None:
        """Its first process, alive or not: what is left of its session is found by it."""
        known = self._known.get(replica_id)
        return known.process if known else processes.recorded(_record(replica_id))

    def _send(self, replica_id: UUID, number: signal.Signals) -> None:
        if process := self._process(replica_id):
            process.send(number)

    def _end(self, replica_id: UUID) -> None:
        """Nothing of it runs any more, and nothing of it gets a chance to start more."""
        if process := self._process(replica_id):
            process.kill()


def _plain(launch: Launch, record: Path) -> subprocess.Popen[bytes]:
    return processes.launch(launch.command, record=record, env=launch.env, cwd=launch.folder, output=launch.log)


def _walled(launch: Launch, record: Path) -> subprocess.Popen[bytes]:
    """Start it within walls: it sees its source and its environment."""
    environment = launch.env.get("VIRTUAL_ENV", "")
    is_own = environment.startswith(f"{folders.environments(launch.namespace)}/") if launch.namespace else False
    shown = [Path(environment)] if is_own and Path(environment).is_dir() else []
    source = folders.build(launch.namespace, launch.deployment_id) / "source" if launch.deployment_id else launch.folder
    for path in (source, *shown, launch.log):
        bubblewrap.give(path)
    room = bubblewrap.Room(launch.folder, {source: source}, shown=shown, empty=[record])
    with bubblewrap.environment(launch.env) as descriptor:
        command = bubblewrap.around(launch.command, room, environment=descriptor)
        return processes.launch(command, record=record, env={}, cwd=Path("/"), output=launch.log, passed=[descriptor])


def _record(replica_id: UUID) -> Path:
    return folders.replicas() / str(replica_id)


def _recorded() -> Iterator[UUID]:
    for path in folders.replicas().iterdir():
        with contextlib.suppress(ValueError):
            yield UUID(path.name)


def stop_everything() -> int:
    """Stop every replica and every build process of this machine; how many processes those were.

    Their records stay, so that they can start again.
    """
    return processes.stop_all([*folders.replicas().iterdir(), *folders.jobs().iterdir()], grace=STOP_ALL_GRACE)
