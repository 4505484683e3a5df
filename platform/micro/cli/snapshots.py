"""`micro store snapshot` and `restore`: the records of a namespace as a file, one JSON object a line."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

from .commands import Command, without_effect
from .failures import Failure
from .session import Session, pass_session

if TYPE_CHECKING:
    from pathlib import Path

    from micro.client import Client

SCHEME = "file://"

_DATABASE = click.option("--database", "-d", default="", help="Another namespace's, for admins of the platform.")
_STORE = without_effect("--store", "there is one store")


@dataclass(frozen=True, slots=True)
class Line:
    """A record in the file: its value in base64, and when it ends, in unix seconds; 0 means never."""

    table: str
    key: str
    value: str
    metadata: Mapping[str, str]
    expires_at: int


@click.command(cls=Command)
@click.option("--destination", required=True, help="The file to write, as a path or file:///PATH.")
@click.option("--table", "-t", default="", help="This table alone.")
@_DATABASE
@_STORE
@pass_session
def snapshot(session: Session, destination: str, table: str, database: str) -> None:
    """Write all records to a file, which `restore` reads.

    What is written meanwhile may be in it or not. Blobs are not.
    """
    from micro import store

    client, path, count = _client(session, database), _path(destination), 0
    with _replacing(path) as file:
        for name in [table] if table else store.tables(client=client):
            for line in _kept(name, client):
                file.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
                count += 1
    click.echo(f"Records in {path}: {count}", err=True)


@click.command(cls=Command)
@click.option("--source", required=True, help="The file to read, as a path or file:///PATH.")
@_DATABASE
@_STORE
@pass_session
def restore(session: Session, source: str, database: str) -> None:
    """Write the records that `snapshot` has put into a file.

    They replace those of the same keys; others stay. What has expired since is left out. With `micro -e NAME` or
    `--namespace NAME` in front, they go to another server or namespace.
    """
    from micro import store

    client, path, count = _client(session, database), _path(source), 0
    for _ in _lines(path):
        pass  # nothing is written unless all of it can be understood
    for line in _lines(path):
        left_s = math.ceil(line.expires_at - time.time()) if line.expires_at else 0
        if line.expires_at and left_s < 1:
            continue
        value, metadata = base64.b64decode(line.value), line.metadata
        store.write(line.key, value, expiry_s=left_s, metadata=metadata, table=line.table, client=client)
        count += 1
    click.echo(f"Records restored: {count}", err=True)


@click.command(cls=Command, context_settings={"ignore_unknown_options": True})
@click.argument("_options", nargs=-1, type=click.UNPROCESSED, metavar="")
def sync(_options: tuple[str, ...]) -> None:
    """Say how records are copied to another server."""
    raise Failure(
        "There is one store, so nothing to sync: `micro store snapshot --destination FILE`, and then "
        "`micro -e NAME store restore --source FILE`, copy the records to another server."
    )


def _client(session: Session, database: str) -> Client:
    return session.client.within(database) if database else session.client


def _path(url: str) -> Path:
    """The file that is meant. Raises Failure for what is elsewhere."""
    from pathlib import Path  # takes a while to import, and the other commands of `micro store` go without it

    path = url.removeprefix(SCHEME)
    if not path or "://" in path:
        raise Failure(f"Invalid place: {url}. Expected a path, or {SCHEME}/PATH")
    return Path(path)


def _kept(table: str, client: Client) -> Iterator[Line]:
    from micro import errors, store

    for key in store.keys(table=table, client=client):
        try:
            record = store.record(key, table=table, client=client)
        except errors.NotFound:  # since it was listed
            continue
        expires_at = int(time.time()) + record.expiry_s if record.expiry_s else 0
        yield Line(table, key, base64.b64encode(record.value).decode(), dict(record.metadata), expires_at)


def _lines(path: Path) -> Iterator[Line]:
    """The records in a file. Raises Failure, with its number, for a line that is none."""
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                yield _line(json.loads(text))
            except (ValueError, TypeError, KeyError, RecursionError):
                raise Failure(f"{path} is no snapshot of a store: line {number} is not one of its lines.") from None


def _line(fields: Mapping[str, Any]) -> Line:
    """Raises ValueError, TypeError or KeyError for what is no line."""
    base64.b64decode(fields["value"], validate=True)
    metadata = {str(name): str(text) for name, text in dict(fields["metadata"]).items()}
    return Line(str(fields["table"]), str(fields["key"]), fields["value"], metadata, int(fields["expires_at"]))


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """A file that takes the place of `path` once it is whole. For its owner alone: records may be secrets."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            yield file
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
