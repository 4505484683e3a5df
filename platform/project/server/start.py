"""How a server starts and stops, in order of time."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import psutil
from django.conf import settings

from project.embedded import kept_secret, nats, postgres, postgres_roles, valkey, write_private
from runtime.backends import Away, choice

from . import backend, checks, leftovers, programs, reset, supervisor_config
from .bring_up import BringUp
from .errors import CannotRun, from_os_error
from .plan import Plan, from_settings
from .progress import Progress
from .supervision import Supervision

STOP_REPLICAS_WITHIN_S = 6.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `manage.py server`."""
    parser.add_argument(
        "--example",
        default="",
        metavar="FOLDER",
        help="when the state is empty, also run the service in FOLDER and call it",
    )
    parser.add_argument(
        "--backend",
        default="",
        choices=["", *choice.BACKENDS],
        help="what runs services: docker, process, or auto: docker where an engine answers (also MICRO_BACKEND)",
    )


def command_line(arguments: Sequence[str]) -> int:
    """`manage.py server` without Django; the exit status."""
    parser = argparse.ArgumentParser("manage.py server", description="Start every process of the platform.")
    add_arguments(parser)
    parser.add_argument("--end-leftovers", action="store_true", help="only end what a killed server left, and say what")
    parser.add_argument("--count", action="store_true", help="only print how many processes of a server here run")
    parser.add_argument("--reset", action="store_true", help="only remove the state of the server, after asking")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    if options.reset:
        return _told(lambda: reset.run(from_settings(), is_confirmed=options.yes, say=_print), doing="Removing")
    if options.end_leftovers:
        return end_leftovers()
    if options.count:
        _print(str(leftovers.count(from_settings())))
        return 0
    return main(example=options.example, backend_name=options.backend)


def main(*, example: str = "", backend_name: str = "") -> int:
    """Run a server until it is told to stop; the exit status. A failure is one sentence on stderr."""
    if backend_name:
        os.environ["MICRO_BACKEND"] = settings.MICRO_BACKEND = backend_name
    return _told(lambda: run(from_settings(), example=example), doing="Starting")


def end_leftovers() -> int:
    """End what a killed server left on this state, and say so on stdout; the exit status."""

    def end() -> None:
        if ended := leftovers.end(from_settings()):
            _print(ended)

    return _told(end, doing="Stopping")


def run(plan: Plan, *, example: str = "") -> None:
    """Start everything, supervise it, stop everything. Raises CannotRun; nothing runs any more then.

    On an empty state the service in the folder `example` is then run too, as a user would.
    """
    progress = Progress()
    backend.settle(plan)
    checks.check_folders(plan)
    first = example if plan.has_known_login and leftovers.is_new(plan.home) else ""
    with leftovers.only_server(plan.home):
        if ended := leftovers.clean_up(plan):
            progress.say(f"ended {ended} processes that a killed server had left")
        checks.check(plan)
        progress.say(f"disk, parts and addresses are fine; profile {plan.profile}, state in {plan.home}")
        if "postgres" in plan.embedded:
            _tell_of_databases(plan, progress)
        progress.say(backend.shown())
        if said := backend.unwalled():
            progress.say(said)
        _supervise(plan, progress, example=first)


def _tell_of_databases(plan: Plan, progress: Progress) -> None:
    """Where the database lies when that is not in the state folder, and which others were left there."""
    database = postgres.cluster(plan.home)
    if plan.home not in database.parents:
        progress.say(f"the database is in {database}, outside MICRO_HOME; `micro server --reset` removes both")
    for left in postgres.unused(plan.home):
        progress.say(
            f"an earlier database of {plan.home} is in {left}, and nothing uses it: `micro server --reset` removes it, "
            "with everything else of this server"
        )


def _supervise(plan: Plan, progress: Progress, *, example: str) -> None:
    nats_port = _free_port()
    os.environ.update(_environment(plan, _configure_servers(plan, nats_port)))
    servers, platform = programs.servers(plan, nats_port), programs.platform(plan)
    before, after = [programs.preparation(plan)], [programs.first_run(example)] if example else []
    config = plan.run / "supervisor.conf"
    write_private(config, supervisor_config.render(plan, [*servers, *before], [*platform, *after]))

    replicas = Replicas(plan)
    supervision = Supervision(plan, config, progress.say, replicas.stop_after)
    bring_up = BringUp(plan, supervision, progress, servers, platform, shows_example=bool(example))
    threading.Thread(target=bring_up.run, name="bring-up", daemon=True).start()
    supervision.supervise()

    replicas.stop()
    leftovers.clean_up(plan)
    leftovers.remove_run_folder(plan)
    if supervision.failure:
        raise supervision.failure
    progress.say("stopped")


class Replicas:
    """The services' own processes: they outlive the runner, and stop with the server."""

    def __init__(self, plan: Plan) -> None:
        self._command = [*programs.manage(plan.root, "runner", "--stop-all")]
        self._log = plan.log("runner")
        self._stopping: list[psutil.Process] = []

    def stop_after(self, program: str) -> None:
        """Begin to stop them once the runner cannot start them again, while the servers still stop."""
        if program == "runner" and not self._stopping:
            with self._log.open("ab") as log:
                started = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self._stopping.append(psutil.Process(started.pid))

    def stop(self) -> None:
        """Return when they have stopped."""
        self.stop_after("runner")
        for late in psutil.wait_procs(self._stopping, timeout=STOP_REPLICAS_WITHIN_S)[1]:
            late.kill()


def _configure_servers(plan: Plan, nats_port: int) -> dict[str, str]:
    """Write the embedded servers' configuration; the variables that point the platform at them."""
    urls = {}
    if "postgres" in plan.embedded:
        postgres.prepare_socket_dir(plan.run / "postgres")
        password = kept_secret(postgres.password_file(plan.home))
        urls["DATABASE_URL"] = postgres_roles.url(plan.run / "postgres", password)
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


def _told(work: Callable[[], None], *, doing: str) -> int:
    """Do it; the exit status, after one sentence on stderr when it cannot be done."""
    try:
        work()
    except (CannotRun, Away) as error:
        return _complain(error)
    except OSError as error:
        return _complain(from_os_error(error, doing=doing))
    except KeyboardInterrupt:
        return 130
    return 0


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - talks to the operator


def _complain(error: Exception) -> int:
    print(f"micro server: {error}", file=sys.stderr, flush=True)  # noqa: T201 - talks to the operator
    return 1
