"""`micro store`: records and blobs."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from .commands import Group, without_effect
from .failures import Failure
from .numbers import INT64_MAX, Number
from .output import output_option, show
from .session import Session, pass_session
from .snapshots import restore, snapshot, sync

if TYPE_CHECKING:
    from micro.client import Client
    from micro.store import Record

SHOWN_BYTES = 20  # of a value that is no text
DAY_S = 86400
UNITS = (
    *(("year", 360 * DAY_S), ("month", 30 * DAY_S), ("week", 7 * DAY_S), ("day", DAY_S)),
    *(("hour", 3600), ("minute", 60), ("second", 1)),
)

_TABLE = click.option("--table", "-t", default="micro", help="The table; each service has one of its own name.")
_DATABASE = click.option(
    "--database", "-d", default="", help="Another namespace's records, for admins of the platform."
)
_LIMIT = click.option("--limit", "-l", type=Number(), default=0, help="At most so many.")
_OFFSET = click.option("--offset", "-o", type=Number(), default=0, help="Leave out the first so many.")
_ORDER = click.option("--order", type=click.Choice(["asc", "desc"]), default="asc", help="By the keys, asc or desc.")
_STORE = without_effect("--store", "there is one store")


@click.group(cls=Group)
def store() -> None:
    """Read and write records and blobs.

    A record is a value under a key in a table of the namespace. A blob is a large object; see `micro store blob`.
    """


@store.command()
@click.argument("key", default="")
@_DATABASE
@_TABLE
@click.option("--prefix", "-p", is_flag=True, help="Every record whose key begins with KEY.")
@click.option("--suffix", is_flag=True, help="Every record whose key ends with KEY.")
@_LIMIT
@_OFFSET
@_ORDER
@click.option("--verbose", "-v", is_flag=True, help="A table of keys, values and expiries.")
@click.option(
    "--output", type=click.Choice(["json", "table"]), help="json (values in base64, expiry in seconds), or table."
)
@pass_session
def read(
    session: Session,
    key: str,
    database: str,
    table: str,
    prefix: bool,
    suffix: bool,
    limit: int,
    offset: int,
    order: str,
    verbose: bool,
    output: str | None,
) -> None:
    """Print the value under KEY.

    With --prefix or --suffix, all values whose keys match, one per line.
    """
    from micro import errors, store

    client = _client(session, database)
    if not (prefix or suffix):
        if not key:
            raise Failure("Key arg is required")
        try:
            found = [store.record(key, table=table, client=client)]
        except errors.NotFound:
            raise Failure("Not found") from None
    else:
        where = {"suffix": key} if suffix else {"prefix": key}
        found = store.records(
            **where, limit=limit, offset=offset, is_descending=order == "desc", table=table, client=client
        )
    _show(found, output or ("table" if verbose else ""))


@store.command("list")
@click.argument("prefix", default="")
@_DATABASE
@_TABLE
@click.option(
    "--prefix", "-p", "_is_prefix", is_flag=True, help="Only keys that begin with PREFIX; so without it, too."
)
@_LIMIT
@_OFFSET
@_ORDER
@output_option(meaning="one array", has_short=False)
@pass_session
def list_keys(
    session: Session,
    prefix: str,
    database: str,
    table: str,
    _is_prefix: bool,
    limit: int,
    offset: int,
    order: str,
    output: str,
) -> None:
    """List the keys of a table that begin with PREFIX."""
    from micro import store

    client = _client(session, database)
    is_descending = order == "desc"
    keys = store.keys(prefix, limit=limit, offset=offset, is_descending=is_descending, table=table, client=client)
    show(keys, keys, output)


@store.command()
@click.argument("key", default="")
@click.argument("values", nargs=-1, metavar="VALUE...")
@_DATABASE
@_TABLE
@click.option("--expiry", "-e", default="", help="Gone after so long, e.g. 10s, 5m or 1h30m; whole seconds.")
@click.option(
    "--expected-version",
    type=Number(),
    help="Only if the record is of this version; 0: only if there is none.",
)
@pass_session
def write(
    session: Session,
    key: str,
    values: tuple[str, ...],
    database: str,
    table: str,
    expiry: str,
    expected_version: int | None,
) -> None:
    """Store a value under KEY.

    Several VALUEs are one, with blanks between them.
    """
    from micro import store

    if not key or not values:
        raise Failure("Key and Value args are required")
    store.write(
        key,
        " ".join(values),
        expiry_s=_expiry_s(expiry),
        expected_version=expected_version,
        table=table,
        client=_client(session, database),
    )


@store.command()
@click.argument("key", default="")
@_DATABASE
@_TABLE
@pass_session
def delete(session: Session, key: str, database: str, table: str) -> None:
    """Remove the record under KEY."""
    from micro import store

    if not key:
        raise Failure("Key is required")
    store.delete(key, table=table, client=_client(session, database))


@store.command()
@_STORE
@output_option()
@pass_session
def databases(session: Session, output: str) -> None:
    """List the namespaces that store something; for accounts of the platform."""
    from micro import store

    names = store.databases(client=session.client)
    show(names, names, output)


@store.command()
@_STORE
@_DATABASE
@output_option()
@pass_session
def tables(session: Session, database: str, output: str) -> None:
    """List the tables that hold a record."""
    from micro import store

    names = store.tables(client=_client(session, database))
    show(names, names, output)


for each in (snapshot, restore, sync):
    store.add_command(each)


@store.group("blob", cls=Group)
def blob() -> None:
    """Read and write large objects, in pieces."""


@blob.command("write")
@click.argument("key")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--content-type", default="", help="What it is, e.g. image/png.")
@click.option("--public", is_flag=True, help="Anybody may read it, without an account.")
@pass_session
def write_blob(session: Session, key: str, file: BinaryIO, content_type: str, public: bool) -> None:
    """Store FILE, or standard input, under KEY."""
    from micro import blob

    blob.write(key, file, content_type=content_type, is_public=public, client=session.client)


@blob.command("read")
@click.argument("key")
@click.argument("file", type=click.File("wb", lazy=True, atomic=True), default="-")
@pass_session
def read_blob(session: Session, key: str, file: BinaryIO) -> None:
    """Write what is under KEY to FILE, or to standard output."""
    from micro import blob

    with blob.stream(key, client=session.client) as pieces:
        for piece in pieces:
            file.write(piece)
    file.flush()


@blob.command("list")
@click.argument("prefix", default="")
@click.option("--verbose", "-v", is_flag=True, help="With size, time and content type.")
@output_option()
@pass_session
def list_blobs(session: Session, prefix: str, verbose: bool, output: str) -> None:
    """List the keys that begin with PREFIX."""
    from micro import blob

    documents, lines = [], []
    for info in blob.blobs(prefix, client=session.client):
        updated = info.updated.strftime("%Y-%m-%dT%H:%M:%SZ")
        details = {"size": info.size_bytes, "updated_at": updated, "content_type": info.content_type or None}
        documents.append({"key": info.key, **details})
        row = (info.key, str(info.size_bytes), updated, info.content_type or "n/a")
        lines.append("\t".join(row) if verbose else info.key)
    show(documents, lines, output)


@blob.command("delete")
@click.argument("key")
@pass_session
def delete_blob(session: Session, key: str) -> None:
    """Remove what is under KEY."""
    from micro import blob

    blob.delete(key, client=session.client)


def _client(session: Session, database: str) -> Client:
    return session.client.within(database) if database else session.client


def _expiry_s(text: str) -> int:
    if not text:
        return 0
    from .services import seconds

    try:
        expiry = seconds(text)
    except Failure:
        expiry = -1.0
    if not 1 <= expiry <= INT64_MAX or expiry != int(expiry):
        raise Failure(f"Expiry flag is invalid: {text}. Try 10s or 5m")
    return int(expiry)


def _show(records: Sequence[Record], output: str) -> None:
    if output == "json":
        _lines([json.dumps([_document(record) for record in records], indent=2, ensure_ascii=False)])
    elif output == "table":
        _lines(_columns([("KEY", "VALUE", "EXPIRY"), *(_row(record) for record in records)]))
    else:
        for record in records:
            sys.stdout.flush()
            sys.stdout.buffer.write(record.value + b"\n")


def _lines(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)


def _document(record: Record) -> dict[str, Any]:
    value = base64.b64encode(record.value).decode()
    return {"key": record.key, "value": value, "metadata": dict(record.metadata), "expiry": record.expiry_s}


def _row(record: Record) -> tuple[str, str, str]:
    return record.key, _text(record.value), f"{_humanised(record.expiry_s)} from now" if record.expiry_s else "None"


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value[:SHOWN_BYTES].hex()


def _humanised(seconds: int) -> str:
    unit, length = next((unit, length) for unit, length in UNITS if seconds >= length)
    count = seconds // length
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _columns(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return ["   ".join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2])) for row in rows]
