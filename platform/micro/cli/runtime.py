"""`micro status` and `logs`: what runs, and what it says."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from .commands import Command, of_run
from .failures import Failure
from .numbers import Number
from .output import moment, output_option, show
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.proto.runtime_pb2 import LogRecord, Service

LINES, LINES_OF_A_BUILD = 15, 5000
UUID_LENGTH, SHORT = 36, 8


@click.command(cls=Command)
@click.argument("name", required=False, default="", metavar="[NAME[@VERSION]]")
@click.argument("version", required=False, default="")
@click.option("--type", "kind", default="", help="Only services of this type; all are of the type service.")
@of_run("--source", "--image", "--command", "--args", "--env_vars")
@output_option("table", meaning="all that is known")
@pass_session
def status(session: Session, name: str, version: str, kind: str, output: str) -> None:
    """Show what runs, since when, and what went wrong.

    STATUS is one of unknown, pending, building, starting, running, stopping, stopped and error; the reason of an error
    is in METADATA. UPDATED counts from when it began to run, or ended; during a deployment, from its start. Columns are
    separated by tabs, except on a terminal, where they fit its width, if need be with ADDRESS and METADATA
    on lines of their own and with long errors and sources shortened: -o json has all of it.
    """
    from micro import runtime

    from . import status_table

    name, _, at = name.partition("@")
    services = runtime.read(name, version or at, kind, client=session.client)
    documents = [document(service) for service in services]
    table = status_table.on_a_terminal if sys.stdout.isatty() else status_table.for_programs
    show(documents, table(services) if services else (), output)
    if name and not services:
        # Micro 3 said nothing, and it is no failure: who asks may be waiting for it to be gone.
        asked = f"{name}@{version or at}" if version or at else name
        click.echo(f"No {asked} is deployed in the namespace {session.namespace_name}.", err=True)


@click.command(cls=Command)
@click.argument("name", metavar="NAME[@VERSION]")
@click.option("--lines", "-n", type=Number(), help="How many of the last lines to show (15; of a build all).")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C, or until it is killed.")
@click.option("--build", is_flag=True, help="The log of the last build, instead of what the service prints.")
@output_option(meaning="one object a line, with Message, Metadata and Timestamp")
@click.option("--since", default="", help="Only lines of this last while, e.g. 10m.")
@click.option("--timestamps", "-t", is_flag=True, help="Before each line: when it was printed, in UTC, and by whom.")
@click.option("--version", default="", help="The service's version (latest).")
@pass_session
def logs(
    session: Session,
    name: str,
    lines: int | None,
    follow: bool,
    build: bool,
    output: str,
    since: str,
    timestamps: bool,
    version: str,
) -> None:
    """Show what a service prints, or its build.

    With --timestamps a line begins with when it came, which release printed it and which replica, in the first digits
    of its id in `micro stats`: 2026-01-31T12:00:00.250Z r3.1a2b3c4d. With -o json both are in Metadata, whole.
    """
    from micro import errors, runtime
    from micro.proto.runtime_pb2 import LogsRequest
    from micro.wire import Unreachable

    from .following import Following
    from .services import seconds
    from .source import named

    name, at = named(name)
    request = LogsRequest(
        service=name,
        version=version or at,
        stream=follow,
        count=lines if lines is not None else LINES_OF_A_BUILD if build else LINES,
        since=int(time.time() - seconds(since, flag="since", example="30s or 10m")) if since else 0,
        kind="build" if build else "run",
    )
    try:
        client = session.client
        for record in Following(request, client).lines() if follow else runtime.logs(request, client=client):
            click.echo(_as_json(record) if output == "json" else _as_text(record, timestamps=timestamps))
    except errors.NotFound:
        raise Failure("Service not found") from None
    except (Unreachable, errors.Unauthenticated):
        raise
    except errors.Error as error:
        raise Failure(f"Error reading logs: {error.detail}", 128) from None


def _as_json(record: LogRecord) -> str:
    said = {"Message": record.message, "Metadata": dict(record.metadata), "Timestamp": _printed_at(record)}
    return json.dumps(said, ensure_ascii=False)


def _as_text(record: LogRecord, *, timestamps: bool) -> str:
    if not timestamps:
        return record.message
    return " ".join(filter(None, (_printed_at(record) or "-", _printed_by(record)))) + f" {record.message}"


def _printed_at(record: LogRecord) -> str | None:
    at = moment(record.timestamp)
    return at and f"{at[:-1]}.{record.milliseconds:03}Z"


def _printed_by(record: LogRecord) -> str:
    """The release and the beginning of the replica's id, with which its name ends; blank where neither is known."""
    release, replica = record.metadata.get("release", ""), record.metadata.get("replica", "")
    return ".".join(filter(None, (release and f"r{release}", replica[-UUID_LENGTH:][:SHORT])))


def document(service: Service) -> dict[str, Any]:
    """A service as JSON."""
    from micro import runtime

    return {
        "name": service.name,
        "version": service.version,
        "source": service.source,
        "status": runtime.status(service),
        "metadata": dict(service.metadata),
    }
