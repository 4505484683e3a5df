"""Supervisor in this process: it starts, restarts and stops what its configuration names; we listen to its events."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from supervisor import events
from supervisor.medusa.asyncore_25 import ExitNow
from supervisor.options import ServerOptions
from supervisor.supervisord import Supervisor
from supervisor.xmlrpc import SupervisorTransport

from .errors import CannotRun, reason
from .plan import Plan

FAILURES_WHILE_STARTING = 3  # something is wrong from the outset; no use in trying for a minute
FAILURES = 10
HEALTHY_AFTER_S = 60.0
FAILED = (events.ProcessStateExitedEvent, events.ProcessStateBackoffEvent)


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
        super().runforever()

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
        log = self._plan.log(name)
        why = reason(log, self._log_began.get(name, 0)) or process.spawnerr or "it wrote nothing"
        if self._failures[name] >= (FAILURES_WHILE_STARTING if self.is_starting else FAILURES):
            times = self._failures[name]
            self.fail(CannotRun(f"{name} failed {times} times ({why}): see {log}."))
        else:
            self._say(f"{name} ended unexpectedly and is started again ({why}; see {log})")


def remote(plan: Plan) -> Any:
    """Supervisor's own interface, over its socket."""
    transport = SupervisorTransport(serverurl=f"unix://{plan.supervisor_socket}")
    return ServerProxy("http://127.0.0.1", transport=transport).supervisor
