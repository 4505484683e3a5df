"""`micro run`, `update`, `kill`, `status` and `logs`: what runs."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from .commands import Command
from .failures import Failure, capitalised
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.proto import runtime_pb2

    from .progress import Progress
    from .source import Source

STATUSES = ("unknown", "pending", "building", "starting", "running", "stopping", "stopped", "error")
HEADER = ("NAME", "VERSION", "SOURCE", "STATUS", "BUILD", "UPDATED", "METADATA")
POLL_S = 0.1
PATIENCE_S = 60.0  # how long a server may be away while a deployment is watched

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
@click.option("--command", help="What starts it, instead of what the platform detects.")
@click.option("--args", help="Arguments for the command.")
@click.option("--env_vars", multiple=True, help="Environment variables as k=v[,k=v]; may be given several times.")
@click.option("--instances", type=int, default=1, help="How many replicas run.")
@click.option("--image", help="The image it runs in, where the server runs images.")
@_DETACH
@pass_session
def run(session: Session, source: str, name: str | None, detach: bool, **options: Any) -> None:
    from micro.proto import runtime_pb2

    resolved = _resolved(session, source, name)
    chosen = _create_options(session, resolved, options)

    def create(service: runtime_pb2.Service) -> None:
        request = runtime_pb2.CreateRequest(resource=runtime_pb2.Resource(service=service), options=chosen)
        session.client.invoke("runtime", "Runtime.Create", request, runtime_pb2.CreateResponse, timeout_s=30)

    _deploy(session, resolved, create, detach=detach)


@click.command(
    cls=Command, help=f"Build and run a newer version of a service, without a failed request.\n{SOURCE_HELP}"
)
@click.argument("source")
@_NAME
@click.option("--instances", type=int, default=0, help="How many replicas run from now on.")
@_DETACH
@pass_session
def update(session: Session, source: str, name: str | None, instances: int, detach: bool) -> None:
    from micro.proto import runtime_pb2

    resolved = _resolved(session, source, name)
    chosen = runtime_pb2.UpdateOptions(namespace=session.client.namespace, instances=instances)

    def change(service: runtime_pb2.Service) -> None:
        request = runtime_pb2.UpdateRequest(resource=runtime_pb2.Resource(service=service), options=chosen)
        session.client.invoke("runtime", "Runtime.Update", request, runtime_pb2.UpdateResponse, timeout_s=30)

    _deploy(session, resolved, change, detach=detach)


@click.command(cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME[@VERSION]...")
@pass_session
def kill(session: Session, names: tuple[str, ...]) -> None:
    """Stop and remove services.

    A service's logs go with it. The version is latest unless it is given.
    """
    from micro.proto import runtime_pb2

    from .source import named

    options = runtime_pb2.DeleteOptions(namespace=session.client.namespace)
    for name, version in map(named, names):
        resource = runtime_pb2.Resource(service=runtime_pb2.Service(name=name, version=version))
        request = runtime_pb2.DeleteRequest(resource=resource, options=options)
        session.client.invoke("runtime", "Runtime.Delete", request, runtime_pb2.DeleteResponse, timeout_s=30)


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
    name, _, at = name.partition("@")
    services = sorted(_read(session, name, version or at, kind), key=lambda service: (service.name, service.version))
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
    from micro import errors
    from micro.proto import runtime_pb2
    from micro.wire import Unreachable

    from .services import seconds
    from .source import named

    name, at = named(name)
    request = runtime_pb2.LogsRequest(
        service=name,
        version=version or at,
        stream=follow,
        count=lines,
        since=int(time.time() - seconds(since)) if since else 0,
        kind="build" if build else "run",
        options=runtime_pb2.LogsOptions(namespace=session.client.namespace),
    )
    try:
        for record in _records(session, request):
            click.echo(_as_json(record) if output == "json" else record.message)
    except errors.NotFound:
        raise Failure("Service not found") from None
    except (Unreachable, errors.Unauthenticated):
        raise
    except errors.Error as error:
        raise Failure(f"Error reading logs: {error.detail}", 128) from None


def _records(session: Session, request: runtime_pb2.LogsRequest) -> Iterator[runtime_pb2.LogRecord]:
    from micro.proto import runtime_pb2

    return session.client.invoke_stream("runtime", "Runtime.Logs", [request], runtime_pb2.LogRecord)


def _as_json(record: runtime_pb2.LogRecord) -> str:
    return json.dumps({"Message": record.message, "Metadata": dict(record.metadata)}, ensure_ascii=False)


# Deploying.


def _resolved(session: Session, text: str, name: str | None) -> Source:
    from dataclasses import replace

    from .source import resolve

    source = resolve(text, session.config, session.target.environment)
    return replace(source, name=name) if name else source


def _create_options(session: Session, source: Source, options: dict[str, Any]) -> runtime_pb2.CreateOptions:
    import shlex

    from micro.proto import runtime_pb2

    from .source import credentials

    chosen = runtime_pb2.CreateOptions(namespace=session.client.namespace, instances=options["instances"])
    chosen.command.extend(shlex.split(options["command"] or ""))
    chosen.args.extend(shlex.split(options["args"] or ""))
    chosen.env.extend(_variables(options["env_vars"]))
    chosen.image = options["image"] or ""
    if token := credentials(source, session.config):
        chosen.secrets["GIT_CREDENTIALS"] = token
    return chosen


def _variables(given: tuple[str, ...]) -> list[str]:
    """`k=v` pairs; a comma begins another pair only where a name and `=` follow it."""
    import re

    pairs = [pair for text in given for pair in re.split(r",(?=[A-Za-z_][A-Za-z0-9_]*=)", text)]
    for pair in pairs:
        if not re.match(r"[A-Za-z_][A-Za-z0-9_]*=", pair):
            raise Failure(f"Invalid environment variable: {pair}. Expected format: NAME=value")
    return pairs


def _deploy(session: Session, source: Source, ask: Callable[[runtime_pb2.Service], None], *, detach: bool) -> None:
    """Send the source, ask for the deployment, and watch it until it runs."""
    from .progress import Progress

    with Progress(source.name) as progress, _as_mistakes():
        ask(_service(session, source, progress))
        if not detach:
            _watch(session, source, progress)


@contextlib.contextmanager
def _as_mistakes() -> Iterator[None]:
    """What the platform has against a source is a failed run: exit 1."""
    from micro import errors

    try:
        yield
    except (errors.Unavailable, errors.Unauthenticated, errors.DeadlineExceeded):
        raise
    except errors.Error as error:
        raise Failure(capitalised(error.detail)) from None


def _service(session: Session, source: Source, progress: Progress) -> runtime_pb2.Service:
    from micro.proto import runtime_pb2

    location = source.location or _upload(session, source, progress)
    metadata = {"source": source.shown}
    return runtime_pb2.Service(name=source.name, version=source.version, source=location, metadata=metadata)


def _upload(session: Session, source: Source, progress: Progress) -> str:
    """Send a local folder; the id under which the server has it."""
    from micro.proto import runtime_pb2

    from .source import archive

    assert source.folder is not None  # noqa: S101 - a source without a location is a folder
    packed = archive(source.folder)
    files = "1 file" if packed.files == 1 else f"{packed.files} files"
    progress.line(f"Sending {source.name}: {files}, {_size(packed.size_bytes)} ...")
    service = runtime_pb2.Service(name=source.name, version=source.version)
    requests = (
        runtime_pb2.UploadRequest(service=service if number == 0 else None, data=chunk)
        for number, chunk in enumerate(packed.chunks())
    )
    replies = session.client.invoke_stream("runtime", "Source.Upload", requests, runtime_pb2.UploadResponse)
    return next(iter(replies)).id


def _size(size_bytes: int) -> str:
    kilobytes = size_bytes / 1024
    return f"{kilobytes:.0f} KB" if kilobytes < 1024 else f"{kilobytes / 1024:.1f} MB"


def _watch(session: Session, source: Source, progress: Progress) -> None:
    """Show the deployment's steps until it runs. Raises Failure, with the reason, when it does not."""
    log = _follow_build(session, source, progress)
    last = ""
    try:
        for service in _polled(session, source):
            last = service.metadata.get("step") or last
            progress.step(service.metadata.get("step") or _STEPS.get(STATUSES[service.status], ""))
            if STATUSES[service.status] == "running":
                address = service.metadata.get("address", "")
                progress.done(f"{source.name} is running" + (f" at {address}" if address else ""))
                return
            if STATUSES[service.status] == "error":
                log.join(0.3)  # its last lines may still be under way
                raise _failed(session, service, progress)
    except KeyboardInterrupt:
        where = f"micro status {source.name}"
        raise Failure(f"\n{source.name} goes on deploying without you: see `{where}`.", 130) from None


_STEPS = {"pending": "queued", "building": "building", "starting": "starting"}


def _polled(session: Session, source: Source) -> Iterator[runtime_pb2.Service]:
    """The service again and again. Raises what the server says, once it has been away for too long."""
    from micro import errors

    seen = time.monotonic()
    while True:
        try:
            services = _read(session, source.name, source.version)
            seen = time.monotonic()
        except (errors.Unavailable, errors.DeadlineExceeded):
            if time.monotonic() - seen > PATIENCE_S:
                raise
            time.sleep(1)
            continue
        if not services:
            raise Failure(f"{source.name} was removed while it was being deployed.")
        yield services[0]
        time.sleep(POLL_S)


def _follow_build(session: Session, source: Source, progress: Progress) -> threading.Thread:
    """Show the build log while it grows. It is a courtesy: without it, the deployment is watched all the same."""
    from micro import errors
    from micro.proto import runtime_pb2

    request = runtime_pb2.LogsRequest(
        service=source.name,
        version=source.version,
        stream=True,
        count=10_000,
        kind="build",
        options=runtime_pb2.LogsOptions(namespace=session.client.namespace),
    )

    def follow() -> None:
        with contextlib.suppress(errors.Error):
            for record in _records(session, request):
                progress.log(record.message)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return thread


def _failed(session: Session, service: runtime_pb2.Service, progress: Progress) -> Failure:
    """Why it failed, after the last lines that it printed."""
    from micro import errors
    from micro.proto import runtime_pb2

    options = runtime_pb2.LogsOptions(namespace=session.client.namespace)
    request = runtime_pb2.LogsRequest(
        service=service.name, version=service.version, count=15, kind="run", options=options
    )
    with contextlib.suppress(errors.Error):
        for record in _records(session, request):
            progress.log(record.message)
    text = f"{service.name} failed: {service.metadata.get('error') or 'the server gives no reason'}"
    if serving := service.metadata.get("serving"):
        text += f"\nRelease {serving} goes on serving."
    return Failure(text)


# Reading.


def _read(session: Session, name: str = "", version: str = "", kind: str = "") -> list[runtime_pb2.Service]:
    """The namespace's services, those of a name and version when these are given."""
    from micro.proto import runtime_pb2

    options = runtime_pb2.ReadOptions(service=name, version=version, type=kind, namespace=session.client.namespace)
    request = runtime_pb2.ReadRequest(options=options)
    found = session.client.invoke("runtime", "Runtime.Read", request, runtime_pb2.ReadResponse).services
    return [service for service in found if name in ("", service.name) and version in ("", service.version)]


def _row(service: runtime_pb2.Service, *, at: datetime) -> tuple[str, ...]:
    known = service.metadata
    word = STATUSES[service.status] if 0 <= service.status < len(STATUSES) else STATUSES[0]
    metadata = f"owner={known.get('owner') or 'n/a'}, group={known.get('group') or 'n/a'}"
    if word == "error":
        metadata += f", error={known.get('error', '')}"
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


def _address(service: runtime_pb2.Service) -> str:
    return service.metadata.get("address", "")


def _as_dict(service: runtime_pb2.Service) -> dict[str, Any]:
    word = STATUSES[service.status] if 0 <= service.status < len(STATUSES) else STATUSES[0]
    return {
        "name": service.name,
        "version": service.version,
        "source": service.source,
        "status": word,
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
