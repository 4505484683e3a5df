"""The process table: what a server consists of, how each process is started, and how one sees that it is ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from project.embedded import nats, postgres, valkey

from . import probes
from .plan import Plan, text

CHORES_AT_ONCE = 4
PREPARATION = "prepare"
FIRST_RUN = "first-run"


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised process. `is_ready` is asked from outside; None means that being up is enough."""

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[], bool] | None = None
    stop_signal: str = "TERM"
    user: str = ""
    folder: str = "/"
    runs_once: bool = False


def preparation(plan: Plan) -> Program:
    """Waits for the database and brings its tables up to date."""
    return Program(name=PREPARATION, command=manage(plan.root, "prepare"), runs_once=True)


def first_run(folder: str) -> Program:
    """Runs the service in `folder` as a user would, and shows its answer."""
    command = (sys.executable, "-m", "project.server.first_run", folder)
    return Program(name=FIRST_RUN, command=command, runs_once=True)


def servers(plan: Plan, nats_port: int) -> list[Program]:
    """The embedded servers. The platform is started when all of them are ready and the database is prepared."""
    programs = [_postgres(plan), _valkey(plan), _nats(plan, nats_port)]
    return [program for program in programs if program.name in plan.embedded]


def platform(plan: Plan) -> list[Program]:
    """The platform's own processes. Each waits itself for what it needs of the others."""
    sidecars = [
        _manage(plan, f"sidecar-{index}", "sidecar", "--index", str(index), socket=f"sidecar-{index}.sock")
        for index in range(plan.sidecars)
    ]
    return [
        _web(plan),
        _worker(plan),
        _chores(),
        *sidecars,
        _manage(plan, "xds", socket="xds.sock"),
        _manage(plan, "envoy", is_ready=partial(probes.http_answers, plan.addresses["MICRO_API_ADDRESS"], "/")),
        _manage(plan, "runner"),
    ]


def manage(root: Path, *arguments: str) -> tuple[str, ...]:
    """The command line of one of our management commands."""
    return (sys.executable, str(root / "manage.py"), *arguments)


def _manage(
    plan: Plan, name: str, *arguments: str, socket: str = "", is_ready: Callable[[], bool] | None = None
) -> Program:
    ready = partial(probes.unix_socket_accepts, plan.run / socket) if socket else is_ready
    return Program(name=name, command=manage(plan.root, *(arguments or (name,))), is_ready=ready)


def _web(plan: Plan) -> Program:
    address = plan.addresses["MICRO_WEB_ADDRESS"]
    options = ["--worker-class", "asgi", "--workers", "1", "--graceful-timeout", "3", "--bind", text(address)]
    # Longer than a browser's or a proxy's own limit: who closes first loses no request.
    options += ["--keep-alive", "75"]
    quiet = ["--no-control-socket", "--asgi-lifespan", "off", "--log-level", "warning"]
    return Program(
        name="web",
        command=(sys.executable, "-m", "gunicorn", *options, *quiet, "project.asgi:application"),
        is_ready=partial(probes.http_answers, address, "/healthz"),
    )


def _worker(plan: Plan) -> Program:
    # Threads: a task's work is done by programs it starts, and threads cost no memory of their own.
    return Program(name="worker", command=_celery("--queues", "deploys", "--concurrency", str(plan.builds)))


def _chores() -> Program:
    """Knocks when something is due and does it, beside the worker: what drives builds on must not wait for them."""
    options = ["--beat", "--queues", "chores", "--concurrency", str(CHORES_AT_ONCE), "--hostname", "chores@%h"]
    return Program(name="chores", command=_celery(*options))


def _celery(*options: str) -> tuple[str, ...]:
    quiet = ("--loglevel", "info", "--without-gossip", "--without-mingle", "--without-heartbeat")
    return (sys.executable, "-m", "celery", "-A", "project.celery", "worker", "--pool", "threads", *options, *quiet)


def _postgres(plan: Plan) -> Program:
    owner = postgres.account()
    sockets = plan.run / "postgres"
    return Program(
        name="postgres",
        command=tuple(postgres.command(postgres.cluster(plan.home), sockets)),
        is_ready=partial(probes.postgres_answers, os.environ.get("DATABASE_URL", "")),
        stop_signal="INT",
        user=owner.pw_name if owner else "",
    )


def _valkey(plan: Plan) -> Program:
    return Program(
        name="valkey",
        command=tuple(valkey.command(plan.home / "valkey" / "valkey.conf")),
        is_ready=partial(probes.unix_socket_accepts, plan.run / "valkey.sock"),
    )


def _nats(plan: Plan, port: int) -> Program:
    return Program(
        name="nats",
        command=tuple(nats.command(plan.home / "nats" / "nats.conf")),
        is_ready=partial(probes.port_accepts, port),
    )
