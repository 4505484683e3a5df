"""`micro run --watch`: a folder that is deployed again when it changes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click

from micro import runtime
from micro.proto.runtime_pb2 import Service

from . import deployment
from . import source as sources
from .failures import Failure, explained
from .session import Session
from .source import Source

LOOK_EVERY_S = 0.3
SAVED_WITHIN_S = 3.0  # who saves a file empties it first, and on a busy machine is slow to fill it


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder's files were when somebody looked: times and sizes of those that would be sent."""

    path: Path
    files: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look at it now."""
        files: dict[str, tuple[int, int]] = {}
        for name in sources.files(path):
            with contextlib.suppress(OSError):  # gone since it was listed
                known = (path / name).stat()
                files[name] = known.st_mtime_ns, known.st_size
        return cls(path, files)

    def has_emptied(self, before: Folder) -> bool:
        """Whether a file that had something in it has nothing now."""
        return any(size == 0 and before.files.get(name, (0, 0))[1] > 0 for name, (_, size) in self.files.items())


@contextlib.contextmanager
def until_interrupted(name: str) -> Iterator[None]:
    """Ctrl-C ends the watching of the service `name`, and says what goes on; a blank one is not watched."""
    try:
        yield
    except KeyboardInterrupt:
        if not name:
            raise
        raise Failure(f"\nNo longer watching. {name} goes on running: `micro kill {name}` stops it.", 130) from None


def watch(session: Session, source: Source, before: Folder, *, delay_s: float) -> None:
    """Update the service whenever the folder has changed and then been quiet for `delay_s`; until Ctrl-C."""
    while True:
        click.echo(f"Watching {source.shown} ...", err=True)
        before = _changed(before, delay_s)
        try:
            deployment.deploy(session, source, lambda service: _update(session, service), is_awaited=True)
        except Exception as error:
            failure = explained(error)
            if failure is None or failure.exit_code == 130:
                raise
            click.echo(failure.text, err=True)


def _update(session: Session, service: Service) -> None:
    runtime.update(service, client=session.client)


def _changed(before: Folder, delay_s: float) -> Folder:
    """The folder, once it is another than before and has stayed so for a while."""
    last, quiet_since, quiet_s = before, 0.0, delay_s
    while True:
        time.sleep(LOOK_EVERY_S)
        now = Folder.of(before.path)
        if now != last:
            last, quiet_since = now, time.monotonic()
            quiet_s = max(delay_s, SAVED_WITHIN_S) if now.has_emptied(before) else delay_s
        elif now != before and now.files and time.monotonic() - quiet_since >= quiet_s:
            return now
