"""`micro status` and `logs`: what runs, and what it says."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from .commands import Command
from .failures import Failure
from .output import moment, output_option, show
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.proto.runtime_pb2 import LogRecord, Service

HEADER = ("NAME", "VERSION", "SOURCE", "STATUS", "BUILD", "UPDATED", "METADATA")
LINES, LINES_OF_A_BUILD = 15, 5000
SHORTEST_ERROR = 24  # characters of an error that are shown however narrow the terminal is


@click.command(cls=Command)
@click.argument("name", required=False, default="", metavar="[NAME[@VERSION]]")
@click.argument("version", required=False, default="")
@click.option("--type", "kind", default="", help="Only services of this type; all are of the type service.")
@output_option("table", meaning="all that is known")
@pass_session
def status(session: Session, name: str, version: str, kind: str, output: str) -> None:
    """Show what runs, since when, and what went wrong.

    STATUS is one of unknown, pending, building, starting, running, stopping, stopped and error; the reason of an error
    is in METADATA. UPDATED counts from when it began to run, or ended; during a deployment, from its start. Columns are
    separated by tabs, except on a terminal, where a long error is shortened: -o json has
    all of it.
    """
    from micro import runtime

    name, _, at = name.partition("@")
    services = runtime.read(name, version or at, kind, client=session.client)
    documents = [document(service) for service in services]
    lines = (_for_eyes(services) if sys.stdout.isatty() else _for_programs(services)) if services else []
    show(documents, lines, output)


@click.command(cls=Command)
@click.argument("name", metavar="NAME[@VERSION]")
@click.option("--lines", "-n", type=int, help="How many of the last lines to show (15; of a build all).")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C, or until it is killed.")
@click.option("--build", is_flag=True, help="The log of the last build, instead of what the service prints.")
@output_option(meaning="one object a line, with Message, Metadata and Timestamp")
@click.option("--since", default="", help="Only lines of this last while, e.g. 10m.")
@click.option("--timestamps", "-t", is_flag=True, help="When each line was printed, in UTC, before it.")
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
    """Show what a service prints, or its build."""
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
    said = {"Message": record.message, "Metadata": dict(record.metadata), "Timestamp": moment(record.timestamp)}
    return json.dumps(said, ensure_ascii=False)


def _as_text(record: LogRecord, *, timestamps: bool) -> str:
    return f"{moment(record.timestamp) or '-'} {record.message}" if timestamps else record.message


def _for_programs(services: list[Service]) -> list[str]:
    """Lines whose cells are whole and separated by tabs."""
    now = datetime.now(UTC)
    rows = [(*_row(service, at=now), _metadata(service)) for service in services]
    return ["\t".join(row) for row in [HEADER, *rows]]


def _for_eyes(services: list[Service]) -> list[str]:
    """Lines in columns. METADATA comes last, as short as the terminal is narrow."""
    import shutil

    now = datetime.now(UTC)
    known = [(*_row(service, at=now), _one_line(service.metadata.get("address", ""))) for service in services]
    rows = [(*HEADER[:-1], "ADDRESS"), *known]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    starts = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    room = shutil.get_terminal_size().columns - len(starts[0]) - 2
    metadata = [HEADER[-1], *(_metadata(service, room) for service in services)]
    return [f"{start}  {last}" for start, last in zip(starts, metadata, strict=True)]


def _row(service: Service, *, at: datetime) -> tuple[str, ...]:
    """What is known of a service, but for its metadata."""
    from micro import runtime

    known = service.metadata
    build = known.get("build", "")[:7] or "n/a"
    source = known.get("source") or service.source
    since = age(known.get("since") or known.get("started", ""), at=at)
    row = (service.name, service.version, source, runtime.status(service), build, since)
    return tuple(map(_one_line, row))


def _metadata(service: Service, room: int | None = None) -> str:
    """Whose it is, and what is wrong with it. With `room`, an error that does not fit into it is shortened."""
    from micro import runtime

    known = service.metadata
    whose = f"owner={known.get('owner') or 'n/a'}, group={known.get('group') or 'n/a'}"
    more = "".join(f", {key}={known[key]}" for key in ("warning", "serving") if known.get(key))
    if runtime.status(service) != "error":
        return _one_line(whose + more)
    more = more if known.get("serving") else f"{more}, serving=nothing"
    error = _one_line(known.get("error", ""))
    if room is not None:
        error = _shortened(error, room - len(f"{whose}, error={more}"))
    return _one_line(f"{whose}, error={error}{more}")


def _shortened(text: str, room: int) -> str:
    room = max(room, SHORTEST_ERROR)
    return text if len(text) <= room else f"{text[: room - 1].rstrip()}…"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def age(started: str, *, at: datetime) -> str:
    """How long ago an RFC 3339 time was, e.g. `1h0m12s ago`; `unknown` for what is none."""
    try:
        since = int((at - datetime.fromisoformat(started)).total_seconds())
    except (ValueError, TypeError):
        return "unknown"
    minutes, seconds = divmod(max(since, 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return "".join(f"{count}{unit}" for count, unit in parts[first:]) + " ago"


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
