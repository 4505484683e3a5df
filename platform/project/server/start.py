"""How a server starts and stops, in order of time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import psutil

from project.embedded import kept_secret, nats, postgres, valkey, write_private

from . import checks, leftovers, programs, supervisor_config
from .bring_up import BringUp
from .errors import CannotRun, from_os_error
from .plan import Plan, from_settings
from .progress import Progress
from .supervision import Supervision

STOP_REPLICAS_WITHIN_S = 6.0


def main() -> int:
    """Run a server until it is told to stop; the exit status. A failure is one sentence on stderr."""
    try:
        run(from_settings())
    except CannotRun as error:
        return _complain(error)
    except OSError as error:
        return _complain(from_os_error(error, doing="Starting"))
    except KeyboardInterrupt:
        return 130
    return 0


def run(plan: Plan) -> None:
    """Start everything, supervise it, stop everything. Raises CannotRun; nothing runs any more then."""
    progress = Progress()
    checks.check_folders(plan)
    with leftovers.only_server(plan.home):
        if ended := leftovers.clean_up(plan):
            progress.say(f"ended {ended} processes that a killed server had left")
        checks.check(plan)
        progress.say(f"disk, parts and addresses are fine; profile {plan.profile}, state in {plan.home}")
        _supervise(plan, progress)


def _supervise(plan: Plan, progress: Progress) -> None:
    nats_port = _free_port()
    os.environ.update(_environment(plan, _configure_servers(plan, nats_port)))
    servers, platform = programs.servers(plan, nats_port), programs.platform(plan)
    config = plan.run / "supervisor.conf"
    write_private(config, supervisor_config.render(plan, [*servers, programs.preparation(plan)], platform))

    replicas = Replicas(plan)
    supervision = Supervision(plan, config, progress.say, replicas.stop_after)
    bring_up = BringUp(plan, supervision, progress, servers, platform)
    threading.Thread(target=bring_up.run, name="bring-up", daemon=True).start()
    supervision.supervise()

    replicas.stop()
    leftovers.clean_up(plan)
    if supervision.failure:
        raise supervision.failure
    progress.say("stopped")


class Replicas:
    """The services' own processes: they outlive the runner, and stop with the server."""

    def __init__(self, plan: Plan) -> None:
        self._command = [*programs.manage(plan.root, "runner", "--stop-all")]
        self._log = plan.log("runner")
        self._stopping: psutil.Process | None = None

    def stop_after(self, program: str) -> None:
        """Begin to stop them once the runner cannot start them again, while the servers still stop."""
        if program == "runner" and not self._stopping:
            with self._log.open("ab") as log:
                self._stopping = psutil.Process(
                    subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).pid
                )

    def stop(self) -> None:
        """Return when they have stopped."""
        self.stop_after("runner")
        for late in psutil.wait_procs([self._stopping], timeout=STOP_REPLICAS_WITHIN_S)[1]:
            late.kill()


def _configure_servers(plan: Plan, nats_port: int) -> dict[str, str]:
    """Write the embedded servers' configuration; the variables that point the platform at them."""
    urls = {}
    if "postgres" in plan.embedded:
        postgres.prepare_socket_dir(plan.run / "postgres")
        urls["DATABASE_URL"] = postgres.url(plan.run / "postgres", "micro")
    if "valkey" in plan.embedded:
        folder, server_socket = plan.home / "valkey", plan.run / "valkey.sock"
        password = kept_secret(folder / "password")
        write_private(folder / "valkey.conf", valkey.config(folder=folder, socket=server_socket, password=password))
        urls["CELERY_BROKER_URL"] = valkey.url(server_socket, password)
    if "nats" in plan.embedded:
        folder = plan.home / "nats"
        password = kept_secret(folder / "password")
        write_private(folder / "nats.conf", nats.config(folder=folder, port=nats_port, password=password))
        urls["NATS_URL"] = nats.url(nats_port, password)
    return urls


def _environment(plan: Plan, urls: dict[str, str]) -> dict[str, str]:
    """What every supervised process finds in its environment, beside what the operator set."""
    return {
        **urls,
        "MICRO_HOME": str(plan.home),
        "MICRO_RUN": str(plan.run),
        leftovers.MARK: str(plan.home),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONPATH": f"{plan.root}:{plan.root / 'platform'}",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _complain(error: Exception) -> int:
    print(f"micro server: {error}", file=sys.stderr, flush=True)  # noqa: T201 - talks to the operator
    return 1
