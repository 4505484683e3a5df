"""One deployment as the command line sees it: the source sent, the steps shown, the end told."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import click

from micro import errors, runtime
from micro.proto.runtime_pb2 import LogsRequest, Service

from . import source as sources
from .failures import Failure, as_mistakes
from .help import COMMANDS
from .live_log import LiveLog, since
from .output import JSON, show
from .progress import Progress
from .runtime import document
from .session import Session
from .source import Source

POLL_S = 0.1
LAST_LINES = 15
LAST_WORDS_S = 1.2  # what a service says as it ends comes this much later than the news of its end
PATIENCE_S = 60.0  # how long a server may be away while a deployment is watched
STEPS = {"pending": "queued", "building": "building", "starting": "starting"}


def resolved(session: Session, text: str, name: str | None, metadata: tuple[str, ...] = ()) -> Source:
    """What the user typed, under the name that it shall have. Raises Failure for a name that no service can have."""
    pairs = tuple((key, value) for key, _, value in (pair.partition("=") for pair in metadata))
    if wrong := [pair for pair, (key, _) in zip(metadata, pairs, strict=True) if not key or "=" not in pair]:
        raise Failure(f"Invalid metadata: {wrong[0]}. Expected format: key=value")
    source = replace(sources.resolve(text, session.git_setting), metadata=pairs)
    if name:
        source = replace(source, name=name, named_after="")
    sources.require_name(source.name or source.named_after, session.target.namespace)
    return source


def require_deployed(session: Session, source: Source) -> None:
    """Raises Failure when there is no service of the source's name and version."""
    if not runtime.read(source.name, source.version, client=session.client):
        version = "" if source.version == sources.LATEST else f"@{source.version}"
        raise Failure(f"There is no service {source.name}{version} to update: `micro run` starts a new one.")


def secrets(session: Session, source: Source) -> dict[str, str]:
    token = sources.credentials(source, session.git_setting)
    return {"GIT_CREDENTIALS": token} if token else {}


def variables(given: tuple[str, ...]) -> list[str]:
    """`k=v` pairs; a comma begins another pair only where a name and `=` follow it."""
    pairs = [pair for text in given for pair in re.split(r",(?=[A-Za-z_][A-Za-z0-9_]*=)", text)]
    for pair in pairs:
        if not re.match(r"[A-Za-z_][A-Za-z0-9_]*=", pair):
            raise Failure(f"Invalid environment variable: {pair}. Expected format: NAME=value")
    return pairs


def deploy(
    session: Session, source: Source, ask: Callable[[Service], None], *, is_awaited: bool, output: str = "text"
) -> None:
    """Send the source, `ask` for the deployment, and watch it until it runs; with output json, print what runs then."""
    with Progress(source.name) as progress, as_mistakes():
        if source.named_after not in ("", source.name):
            progress.line(f"Named {source.name} after {source.named_after}; choose another with --name.")
        ask(_service(session, source, progress))
        running = _watch(session, source.name, source.version, progress) if is_awaited else None
    if not is_awaited:
        tell_accepted(source.name, source.version)
    _print(session, running or Service(name=source.name, version=source.version), output)


def follow(session: Session, name: str, version: str, *, output: str = "text") -> None:
    """Watch a deployment that was asked for elsewhere."""
    with Progress(name) as progress, as_mistakes():
        running = _watch(session, name, version, progress)
    _print(session, running, output)


def _print(session: Session, service: Service, output: str) -> None:
    if output == JSON:
        known = runtime.read(service.name, service.version, client=session.client)
        show(document(known[0] if known else service), (), output)


def tell_accepted(name: str, version: str) -> None:
    """Say of a deployment that nobody here waits for how to see what becomes of it."""
    whole = name if version == sources.LATEST else f"{name}@{version}"
    follow = f"`micro status {whole}` shows how far it is, `micro logs --build -f {whole}` its build"
    click.echo(f"{whole} is being deployed: {follow}.", err=True)


def _service(session: Session, source: Source, progress: Progress) -> Service:
    location = source.location
    if not location and not source.is_kept:
        location = _upload(session, source, progress)
    metadata = {**dict(source.metadata), "source": source.shown}
    return Service(name=source.name, version=source.version, source=location, metadata=metadata)


def _upload(session: Session, source: Source, progress: Progress) -> str:
    """Send a local folder; the id under which the server has it."""
    assert source.folder is not None  # noqa: S101 - a source without a location is a folder
    packed = sources.archive(source.folder)
    files = "1 file" if packed.files == 1 else f"{packed.files} files"
    progress.line(f"Sending {source.name}: {files}, {_size(packed.size_bytes)} ...")
    service = Service(name=source.name, version=source.version)
    return runtime.upload(service, _shown(packed, source.name, progress), client=session.client)


def _shown(packed: sources.Archive, name: str, progress: Progress) -> Iterator[bytes]:
    """The archive's pieces, while the spinner says how many of them are sent."""
    sent = 0
    for piece in packed.chunks():
        progress.doing(f"Sending {name}: {_size(sent)} of {_size(packed.size_bytes)}")
        yield piece
        sent += len(piece)


def _size(size_bytes: int) -> str:
    kilobytes = size_bytes / 1024
    if kilobytes < 1:
        return f"{size_bytes} bytes"
    return f"{kilobytes:.0f} KB" if kilobytes < 1024 else f"{kilobytes / 1024:.1f} MB"


def _watch(session: Session, name: str, version: str, progress: Progress) -> Service:
    """Show the deployment's steps until it runs, and what it says meanwhile. Raises Failure, with the reason."""
    build: LiveLog | None = None
    start: LiveLog | None = None
    try:
        for service in _polled(session, name, version):
            build = build or LiveLog.of_build(service, progress, session.client)
            word, step = runtime.status(service), service.metadata.get("step", "")
            why = service.metadata.get("warning", "") if step == "queued" else ""
            progress.step(step or STEPS.get(word, ""), why)
            if word == "starting":
                start = start or LiveLog.of_start(service, progress, session.client, after=build)
            if word in ("running", "error") or step == "cancelled":
                build.finish()
                is_told = start.finish(LAST_WORDS_S if word == "error" else 0.0) if start else False
            if step == "cancelled":
                raise _cancelled(service)
            if word == "running":
                _tell(session, service, progress)
                return service
            if word == "error":
                raise _failed(session, service, progress, is_told=is_told)
    except KeyboardInterrupt:
        text = f"\n{name} goes on deploying without you: see `micro status {name}`."
        raise Failure(text, 130) from None
    raise AssertionError("polling ends with a service")


def _tell(session: Session, service: Service, progress: Progress) -> None:
    """It runs: where, and how it is called."""
    address = service.metadata.get("address", "")
    progress.done(f"{service.name} is running" + (f" at {address}" if address else ""))
    with contextlib.suppress(errors.Error):
        if any(known.protocol == "grpc" for known in session.client.services(service.name)):
            # A command of the same name comes before the service.
            how = f"get service {service.name}" if service.name in COMMANDS else f"{service.name} --help"
            progress.line(f"Call it: micro {how}")


def _polled(session: Session, name: str, version: str) -> Iterator[Service]:
    """The service again and again. Raises what the server says, once it has been away for too long."""
    seen = time.monotonic()
    while True:
        try:
            services = runtime.read(name, version, client=session.client)
            seen = time.monotonic()
        except (errors.Unavailable, errors.DeadlineExceeded):
            if time.monotonic() - seen > PATIENCE_S:
                raise
            time.sleep(1)
            continue
        if not services:
            raise Failure(f"{name} was removed while it was being deployed.")
        yield services[0]
        time.sleep(POLL_S)


def _failed(session: Session, service: Service, progress: Progress, *, is_told: bool) -> Failure:
    """Why it failed, after the last lines that it printed, unless these are told; not those of what goes on serving."""
    request = LogsRequest(
        service=service.name, version=service.version, count=LAST_LINES, since=since(service), kind="run"
    )
    serving = service.metadata.get("serving")
    deadline = time.monotonic() + LAST_WORDS_S
    with contextlib.suppress(errors.Error):
        while not is_told and time.monotonic() < deadline:
            for record in runtime.logs(request, client=session.client):
                if not serving or record.metadata.get("release") != serving:
                    is_told = True
                    progress.log(record.message)
            time.sleep(0 if is_told else POLL_S)
    return _ended(service, f"{service.name} failed: {service.metadata.get('error') or 'the server gives no reason'}")


def _cancelled(service: Service) -> Failure:
    """Who cancelled it."""
    return _ended(service, f"{service.name} was not deployed: {service.metadata.get('warning') or 'it was cancelled'}")


def _ended(service: Service, text: str) -> Failure:
    serving = service.metadata.get("serving")
    return Failure(f"{text}\n" + (f"Release {serving} goes on serving." if serving else f"No {service.name} serves."))
