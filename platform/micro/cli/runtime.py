"""`micro run`, `update`, `kill`, `status` and `logs`: what runs."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from .commands import Command
from .failures import Failure
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.proto.runtime_pb2 import LogRecord, Service

HEADER = ("NAME", "VERSION", "SOURCE", "STATUS", "BUILD", "UPDATED", "METADATA")

SOURCE_HELP = """
    SOURCE is a folder of this machine (. is the current one), or a place in a git repository:
    host/org/repo[/folder][@ref], or its https:// URL, likewise with /folder and @ref. The service is named like the
    folder or repository, and its version is the ref, else latest.

    Waits until the service runs, and shows how it gets there on stderr. Ctrl-C stops the waiting, not the deployment.
"""

_NAME = click.option("--name", help="The service's name, instead of the folder's or repository's.")
_DETACH = click.option("--detach", "-d", is_flag=True, help="Do not wait until it runs.")


@click.command(cls=Command, help=f"Build and run a folder or a git repository as a service.\n{SOURCE_HELP}")
@click.argument("source")
@_NAME
@click.option("--command", default="", help="What starts it, instead of what the platform detects.")
@click.option("--args", default="", help="Arguments for the command.")
@click.option("--env_vars", multiple=True, help="Environment variables as k=v[,k=v]; may be given several times.")
@click.option("--instances", type=int, default=1, help="How many replicas run.")
@click.option("--image", default="", help="The image it runs in, where the server runs images.")
@_DETACH
@pass_session
def run(
    session: Session,
    source: str,
    name: str | None,
    command: str,
    args: str,
    env_vars: tuple[str, ...],
    instances: int,
    image: str,
    detach: bool,
) -> None:
    import shlex

    from micro import runtime
    from micro.proto.runtime_pb2 import CreateOptions

    from . import deployment

    meant = deployment.resolved(session, source, name)
    options = CreateOptions(
        command=shlex.split(command),
        args=shlex.split(args),
        env=deployment.variables(env_vars),
        image=image,
        instances=instances,
        secrets=deployment.secrets(session, meant),
    )

    def create(service: Service) -> None:
        runtime.create(service, options, client=session.client)

    deployment.deploy(session, meant, create, is_awaited=not detach)


@click.command(
    cls=Command, help=f"Build and run a newer version of a service, without a failed request.\n{SOURCE_HELP}"
)
@click.argument("source")
@_NAME
@click.option("--instances", type=int, default=0, help="How many replicas run from now on.")
@_DETACH
@pass_session
def update(session: Session, source: str, name: str | None, instances: int, detach: bool) -> None:
    from micro import runtime

    from . import deployment

    def change(service: Service) -> None:
        runtime.update(service, instances=instances, client=session.client)

    deployment.deploy(session, deployment.resolved(session, source, name), change, is_awaited=not detach)


@click.command(cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME[@VERSION]...")
@pass_session
def kill(session: Session, names: tuple[str, ...]) -> None:
    """Stop and remove services.

    A service's logs go with it. The version is latest unless it is given.
    """
    from micro import runtime

    from .source import named

    for name, version in map(named, names):
        runtime.delete(name, version, client=session.client)


@click.command(cls=Command)
@click.argument("name", required=False, default="", metavar="[NAME[@VERSION]]")
@click.argument("version", required=False, default="")
@click.option("--type", "kind", default="", help="Only services of this type.")
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json"]),
    default="table",
    help="table, or json with all that is known.",
)
@pass_session
def status(session: Session, name: str, version: str, kind: str, output: str) -> None:
    """Show what runs, since when, and what went wrong.

    STATUS is one of unknown, pending, building, starting, running, stopping, stopped and error; the reason of an error
    is in METADATA. Columns are separated by tabs, except on a terminal.
    """
    from micro import runtime

    name, _, at = name.partition("@")
    services = runtime.read(name, version or at, kind, client=session.client)
    if output == "json":
        click.echo(json.dumps([_as_dict(service) for service in services], indent=2, ensure_ascii=False))
    elif services:
        _print_table([_row(service, at=datetime.now(UTC)) for service in services], [_address(s) for s in services])


@click.command(cls=Command)
@click.argument("name", metavar="NAME[@VERSION]")
@click.option("--lines", "-n", type=int, default=15, help="How many of the last lines to show (15).")
@click.option("--follow", "-f", is_flag=True, help="Go on showing new lines until Ctrl-C.")
@click.option("--build", is_flag=True, help="The log of the last build, instead of what the service prints.")
@click.option(
    "--output", "-o", type=click.Choice(["text", "json"]), default="text", help="text, or one JSON object a line."
)
@click.option("--since", default="", help="Only lines of this last while, e.g. 10m.")
@click.option("--version", default="", help="The service's version (latest).")
@pass_session
def logs(
    session: Session, name: str, lines: int, follow: bool, build: bool, output: str, since: str, version: str
) -> None:
    """Show what a service prints, or its build."""
    from micro import errors, runtime
    from micro.proto.runtime_pb2 import LogsRequest
    from micro.wire import Unreachable

    from .services import seconds
    from .source import named

    name, at = named(name)
    request = LogsRequest(
        service=name,
        version=version or at,
        stream=follow,
        count=lines,
        since=int(time.time() - seconds(since)) if since else 0,
        kind="build" if build else "run",
    )
    try:
        for record in runtime.logs(request, client=session.client):
            click.echo(_as_json(record) if output == "json" else record.message)
    except errors.NotFound:
        raise Failure("Service not found") from None
    except (Unreachable, errors.Unauthenticated):
        raise
    except errors.Error as error:
        raise Failure(f"Error reading logs: {error.detail}", 128) from None


def _as_json(record: LogRecord) -> str:
    return json.dumps({"Message": record.message, "Metadata": dict(record.metadata)}, ensure_ascii=False)


def _row(service: Service, *, at: datetime) -> tuple[str, ...]:
    from micro import runtime

    known, word = service.metadata, runtime.status(service)
    metadata = f"owner={known.get('owner') or 'n/a'}, group={known.get('group') or 'n/a'}"
    if word == "error":
        metadata += f", error={known.get('error', '')}"
    if warning := known.get("warning"):
        metadata += f", warning={warning}"
    if known.get("serving"):
        metadata += f", serving={known['serving']}"
    build = known.get("build", "")[:7] or "n/a"
    source = known.get("source") or service.source
    row = (service.name, service.version, source, word, build, age(known.get("started", ""), at=at), metadata)
    return tuple(" ".join(cell.split()) for cell in row)


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


def _address(service: Service) -> str:
    return service.metadata.get("address", "")


def _as_dict(service: Service) -> dict[str, Any]:
    from micro import runtime

    return {
        "name": service.name,
        "version": service.version,
        "source": service.source,
        "status": runtime.status(service),
        "metadata": dict(service.metadata),
    }


def _print_table(rows: list[tuple[str, ...]], addresses: list[str]) -> None:
    if not sys.stdout.isatty():
        for row in [HEADER, *rows]:
            click.echo("\t".join(row))
        return
    table = [(*HEADER, "ADDRESS"), *((*row, address) for row, address in zip(rows, addresses, strict=True))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
