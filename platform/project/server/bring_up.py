"""From nothing to ready: the embedded servers, then the database's tables, then the platform."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from xmlrpc.client import Fault

from project.embedded import kept_secret, postgres, postgres_roles

from . import damage, probes
from .errors import CannotRun, from_os_error, lines, reason
from .plan import Plan
from .programs import FIRST_RUN, PREPARATION, Program
from .progress import Progress, welcome
from .supervision import Supervision, remote
from .supervisor_config import PLATFORM, SERVERS

READY_WITHIN_S = 120.0
POLL_S = 0.03


class Stopped(Exception):
    """The server was told to stop while it was starting."""


class BringUp:
    """Runs beside supervisor's loop and ends when everything is ready. A failure stops everything."""

    def __init__(
        self,
        plan: Plan,
        supervision: Supervision,
        progress: Progress,
        servers: Sequence[Program],
        platform: Sequence[Program],
        *,
        shows_example: bool,
    ) -> None:
        self._plan, self._supervision, self._progress = plan, supervision, progress
        self._servers, self._platform = servers, platform
        self._shows_example = shows_example
        self._supervisor: Any = remote(plan)

    def run(self) -> None:
        """Bring everything up; on failure tell the supervision, which stops what runs."""
        failure: CannotRun | None = CannotRun("Starting failed for a reason that is ours: see the lines above.")
        try:
            self._bring_up()
            failure = None
        except Stopped:
            failure = None
        except CannotRun as error:
            failure = error
        except OSError as error:
            failure = from_os_error(error, doing="Starting")
        except Fault:
            if not self._supervision.is_stopping:  # else supervisor just takes no more orders
                raise
        finally:  # after a bug of ours, too: nothing stays half-started
            if failure and not self._supervision.is_stopping:
                self._supervision.fail(failure)

    def _bring_up(self) -> None:
        listens = partial(probes.unix_socket_accepts, self._plan.supervisor_socket)
        self._until(listens, what="supervisor")
        self._plan.log(PREPARATION).unlink(missing_ok=True)
        # The preparation imports Django while the database is being made, and waits for it.
        self._start(f"{SERVERS}:{PREPARATION}")
        for program in self._servers:
            if program.name != "postgres":
                self._start(f"{SERVERS}:{program.name}")
        if any(program.name == "postgres" for program in self._servers):
            self._start_postgres()
        self._until_ready(self._servers)
        self._until(self._is_prepared, what="the database")
        self._progress.say(f"database is up to date ({(lines(self._plan.log(PREPARATION)) or [''])[-1]})")
        for program in self._platform:
            self._start(f"{PLATFORM}:{program.name}")
        self._until_ready(self._platform)
        self._until(self._all_run, what="every process")
        self._supervision.is_starting = False
        print(f"\n{welcome(self._plan, self._progress.elapsed_s)}", flush=True)  # noqa: T201 - talks to the operator
        if self._shows_example:
            self._show_example()

    def _show_example(self) -> None:
        """Pass on what the first run prints, until it ends. When it fails, the server is none the worse."""
        name, log = f"{PLATFORM}:{FIRST_RUN}", self._plan.log(FIRST_RUN)
        log.touch()
        with log.open() as output:
            self._start(name)

            def ended() -> bool:
                over: bool = self._supervisor.getProcessInfo(name)["statename"] == "EXITED"
                print(output.read(), end="", flush=True)  # noqa: T201 - talks to the operator
                return over

            self._until(ended, what=f"examples ({log})")

    def _start_postgres(self) -> None:
        data = postgres.cluster(self._plan.home)
        try:
            postgres.initialise(data)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or "").strip().splitlines() or ["it wrote nothing"]
            raise CannotRun(f"The database cannot be made in {data} ({said[-1]}): {damage.way_out('')}.") from None
        try:
            postgres_roles.close(data, kept_secret(postgres.password_file(self._plan.home)))
        except postgres_roles.Refused as refused:
            raise CannotRun(
                f"The database in {data} cannot be opened ({refused}): {damage.way_out(str(refused))}."
            ) from None
        self._start(f"{SERVERS}:postgres")

    def _until_ready(self, programs: Sequence[Program]) -> None:
        """Wait for each program, telling as they come."""
        waiting = list(programs)

        def all_ready() -> bool:
            for program in [program for program in waiting if program.is_ready is None or program.is_ready()]:
                waiting.remove(program)
                if program.is_ready:
                    self._progress.say(f"{program.name} is ready")
            return not waiting

        self._until(all_ready, what=lambda: ", ".join(program.name for program in waiting))

    def _until(self, claim: Callable[[], bool], what: str | Callable[[], str]) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not claim():
            if self._supervision.is_stopping:
                raise Stopped
            if time.monotonic() > deadline:
                named = what if isinstance(what, str) else what()
                raise CannotRun(f"{named} did not become ready within {READY_WITHIN_S:.0f} s: see {self._plan.logs}.")
            time.sleep(POLL_S)

    def _start(self, name: str) -> None:
        try:
            self._supervisor.startProcess(name, False)
        except Fault as fault:
            raise CannotRun(f"{name} cannot be started ({fault.faultString}): run `make install`.") from None

    def _is_prepared(self) -> bool:
        """Whether the preparation has ended well. Raises CannotRun with its last words when it has not."""
        info = self._supervisor.getProcessInfo(f"{SERVERS}:{PREPARATION}")
        if info["statename"] not in {"EXITED", "FATAL", "BACKOFF"}:
            return False
        if info["statename"] == "EXITED" and info["exitstatus"] == 0:
            return True
        said = reason(self._plan.log(PREPARATION)).removeprefix("CommandError: ")
        raise CannotRun(
            f"{said}." if said else f"The database could not be prepared: see {self._plan.log(PREPARATION)}."
        )

    def _all_run(self) -> bool:
        states = {info["name"]: info["statename"] for info in self._supervisor.getAllProcessInfo()}
        return all(states[program.name] == "RUNNING" for program in (*self._servers, *self._platform))
