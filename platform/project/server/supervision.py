"""Supervisor in this process: it starts, restarts and stops what its configuration names; we listen to its events."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from supervisor import events
from supervisor.medusa.asyncore_25 import ExitNow, dispatcher
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor
from supervisor.xmlrpc import SupervisorTransport

from project.embedded import postgres

from . import damage
from .errors import CannotRun, lines, reason
from .plan import Plan

FAILURES_WHILE_STARTING = 3  # something is wrong from the outset; no use in trying for a minute
FAILURES = 10
HEALTHY_AFTER_S = 60.0
SPARED = {"xds"}  # it reads what every tenant says of its services; Envoy goes on with what it has while it is away
KILLED = -1  # supervisor's exit status for a process that a signal ended
FAILED = (events.ProcessStateExitedEvent, events.ProcessStateBackoffEvent)


class _Alarm(dispatcher):  # type: ignore[misc]  # supervisor has no types
    """Wakes supervisor's loop when a signal comes: it sleeps for a second at a time, and Python resumes that sleep."""

    def __init__(self) -> None:
        ours, python_writes = socket.socketpair()
        python_writes.setblocking(False)
        self._keep_open = python_writes
        super().__init__(ours)
        signal.set_wakeup_fd(python_writes.fileno(), warn_on_full_buffer=False)

    def writable(self) -> bool:
        """Never: it only listens."""
        return False

    def handle_read(self) -> None:
        """Forget which signals came; supervisor's own handlers know."""
        self.recv(4096)

    def silence(self) -> None:
        """Let signals be again."""
        signal.set_wakeup_fd(-1)
        self._keep_open.close()
        self.close()


class Supervision(Supervisor):  # type: ignore[misc]  # supervisor has no types
    """Supervisor that gives up with one sentence when a process keeps failing.

    `say` gets one line for each unexpected end of a process; `on_stopped` the name of each that has stopped.
    """

    def __init__(self, plan: Plan, config: Path, say: Callable[[str], None], on_stopped: Callable[[str], None]) -> None:
        options = ServerOptions()
        options.realize(["-c", str(config)], doc="")
        options.first, options.test = True, False
        super().__init__(options)
        self.failure: CannotRun | None = None
        self.is_starting = True
        self._plan, self._say, self._on_stopped = plan, say, on_stopped
        self._failures: Counter[str] = Counter()
        self._up_since: dict[str, float] = {}
        self._log_began: dict[str, int] = {}

    @property
    def is_stopping(self) -> bool:
        """Whether a signal or a failure has told it to stop."""
        return bool(self.failure or self.stopping or self.options.mood < SupervisorStates.RUNNING)

    def supervise(self) -> None:
        """Run until a signal or a failure ends it; every process has stopped then."""
        try:
            self.main()
        except ExitNow:  # its way to end its loop
            return
        except SystemExit as error:  # its way to complain about its configuration
            raise CannotRun(f"supervisor does not start: see {self._plan.log('supervisor')}.") from error
        finally:
            self.options.close_httpservers()
            self.options.close_logger()

    def fail(self, failure: CannotRun) -> None:
        """Stop everything because of `failure`; the first one counts. May be called from any thread."""
        self.failure = self.failure or failure
        os.kill(os.getpid(), signal.SIGTERM)

    def runforever(self) -> None:
        """Subscribe (the caller has just cleared all subscriptions), then run supervisor's own loop."""
        events.subscribe(events.ProcessStateEvent, self._on_state)
        alarm = _Alarm()
        try:
            super().runforever()
        finally:
            alarm.silence()

    def _on_state(self, event: Any) -> None:
        name = event.process.config.name
        if isinstance(event, events.ProcessStateStartingEvent):
            log = self._plan.log(name)
            self._log_began[name] = log.stat().st_size if log.exists() else 0
        elif isinstance(event, events.ProcessStateRunningEvent):
            self._up_since[name] = time.monotonic()
        elif isinstance(event, events.ProcessStateStoppedEvent):
            self._on_stopped(name)
        elif isinstance(event, FAILED) and event.process.config.autorestart and not self.stopping:
            self._on_failure(name, event.process)

    def _on_failure(self, name: str, process: Any) -> None:
        if time.monotonic() - self._up_since.pop(name, time.monotonic()) > HEALTHY_AFTER_S:
            self._failures[name] = 0
        self._failures[name] += 1
        _end_group(process.pid)
        log = self._plan.log(name)
        why = self._why(name, process)
        is_spared = name in SPARED and not self.is_starting
        if not is_spared and self._failures[name] >= (FAILURES_WHILE_STARTING if self.is_starting else FAILURES):
            times = self._failures[name]
            self.fail(CannotRun(f"{name} failed {times} times ({why}): {self._way_out(name)}."))
        else:
            self._say(f"{name} ended unexpectedly and is started again ({why}; see {log})")

    def _why(self, name: str, process: Any) -> str:
        if process.exitstatus == KILLED:
            return "killed by a signal"
        return reason(self._plan.log(name), self._log_began.get(name, 0)) or process.spawnerr or "it wrote nothing"

    def _way_out(self, name: str) -> str:
        log = self._plan.log(name)
        if name == "postgres":
            said = "\n".join(lines(log, self._log_began.get(name, 0)))
            return f"it is in {postgres.cluster(self._plan.home)}; {damage.way_out(said, log=str(log))}"
        return f"see {log}"


def _end_group(leader: int) -> None:
    """End what a process that died has started: a second beat or an old build must not live beside their successors."""
    if leader > 1:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)


def remote(plan: Plan) -> Any:
    """Supervisor's own interface, over its socket."""
    transport = SupervisorTransport(serverurl=f"unix://{plan.supervisor_socket}")
    return ServerProxy("http://127.0.0.1", transport=transport).supervisor
