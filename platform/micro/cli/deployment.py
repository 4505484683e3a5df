"""One deployment as the command line sees it: the source sent, the steps shown, the end told."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from micro import errors, runtime
from micro.proto.runtime_pb2 import LogsRequest, Service

from . import source as sources
from .build_log import BuildLog
from .failures import Failure, capitalised
from .progress import Progress
from .session import Session
from .source import Source

POLL_S = 0.1
PATIENCE_S = 60.0  # how long a server may be away while a deployment is watched
STEPS = {"pending": "queued", "building": "building", "starting": "starting"}


def resolved(session: Session, text: str, name: str | None) -> Source:
    """What the user typed, under the name that it shall have. Raises Failure for a name that no service can have."""
    source = sources.resolve(text, session.config, session.target.environment)
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
    token = sources.credentials(source, session.config)
    return {"GIT_CREDENTIALS": token} if token else {}


def variables(given: tuple[str, ...]) -> list[str]:
    """`k=v` pairs; a comma begins another pair only where a name and `=` follow it."""
    pairs = [pair for text in given for pair in re.split(r",(?=[A-Za-z_][A-Za-z0-9_]*=)", text)]
    for pair in pairs:
        if not re.match(r"[A-Za-z_][A-Za-z0-9_]*=", pair):
            raise Failure(f"Invalid environment variable: {pair}. Expected format: NAME=value")
    return pairs


def deploy(session: Session, source: Source, ask: Callable[[Service], None], *, is_awaited: bool) -> None:
    """Send the source, `ask` for the deployment, and watch it until it runs."""
    with Progress(source.name) as progress, _as_mistakes():
        if source.named_after not in ("", source.name):
            progress.line(f"Named {source.name} after {source.named_after}; choose another with --name.")
        ask(_service(session, source, progress))
        if is_awaited:
            _watch(session, source, progress)


@contextlib.contextmanager
def _as_mistakes() -> Iterator[None]:
    """What the platform has against a source is a failed run: exit 1."""
    try:
        yield
    except (errors.Unavailable, errors.Unauthenticated, errors.DeadlineExceeded):
        raise
    except errors.Error as error:
        raise Failure(capitalised(error.detail)) from None


def _service(session: Session, source: Source, progress: Progress) -> Service:
    location = source.location or _upload(session, source, progress)
    metadata = {"source": source.shown}
    return Service(name=source.name, version=source.version, source=location, metadata=metadata)


def _upload(session: Session, source: Source, progress: Progress) -> str:
    """Send a local folder; the id under which the server has it."""
    assert source.folder is not None  # noqa: S101 - a source without a location is a folder
    packed = sources.archive(source.folder)
    files = "1 file" if packed.files == 1 else f"{packed.files} files"
    progress.line(f"Sending {source.name}: {files}, {_size(packed.size_bytes)} ...")
    service = Service(name=source.name, version=source.version)
    return runtime.upload(service, packed.chunks(), client=session.client)


def _size(size_bytes: int) -> str:
    kilobytes = size_bytes / 1024
    if kilobytes < 1:
        return f"{size_bytes} bytes"
    return f"{kilobytes:.0f} KB" if kilobytes < 1024 else f"{kilobytes / 1024:.1f} MB"


def _watch(session: Session, source: Source, progress: Progress) -> None:
    """Show the deployment's steps until it runs. Raises Failure, with the reason, when it does not."""
    log: BuildLog | None = None
    try:
        for service in _polled(session, source):
            log = log or BuildLog(service, progress, session.client)
            word, step = runtime.status(service), service.metadata.get("step", "")
            progress.step(step or STEPS.get(word, ""))
            if word in ("running", "error") or step == "cancelled":
                log.finish()
            if step == "cancelled":
                raise _cancelled(service)
            if word == "running":
                return _tell(session, service, progress)
            if word == "error":
                raise _failed(session, service, progress)
    except KeyboardInterrupt:
        text = f"\n{source.name} goes on deploying without you: see `micro status {source.name}`."
        raise Failure(text, 130) from None


def _tell(session: Session, service: Service, progress: Progress) -> None:
    """It runs: where, and how it is called."""
    address = service.metadata.get("address", "")
    progress.done(f"{service.name} is running" + (f" at {address}" if address else ""))
    with contextlib.suppress(errors.Error):
        if any(known.protocol == "grpc" for known in session.client.services(service.name)):
            progress.line(f"Call it: micro {service.name} --help")


def _polled(session: Session, source: Source) -> Iterator[Service]:
    """The service again and again. Raises what the server says, once it has been away for too long."""
    seen = time.monotonic()
    while True:
        try:
            services = runtime.read(source.name, source.version, client=session.client)
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


def _failed(session: Session, service: Service, progress: Progress) -> Failure:
    """Why it failed, after the last lines that it printed."""
    request = LogsRequest(service=service.name, version=service.version, count=15, kind="run")
    with contextlib.suppress(errors.Error):
        for record in runtime.logs(request, client=session.client):
            progress.log(record.message)
    return _ended(service, f"{service.name} failed: {service.metadata.get('error') or 'the server gives no reason'}")


def _cancelled(service: Service) -> Failure:
    """Who cancelled it."""
    return _ended(service, f"{service.name} was not deployed: {service.metadata.get('warning') or 'it was cancelled'}")


def _ended(service: Service, text: str) -> Failure:
    serving = service.metadata.get("serving")
    return Failure(f"{text}\nRelease {serving} goes on serving." if serving else text)
