"""How commands print data: lines for people, and with `--output json` one stable document for programs.

A document is an array of objects, or an object; streams print one object a line. Keys are snake_case, times RFC 3339 in
UTC, what is unknown is null; what a service answers, and what Micro 3 printed as JSON, keeps its own keys. Keys are
added, never renamed or taken away.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

JSON = "json"

F = TypeVar("F", bound=Callable[..., Any])


def output_option(
    plain: str = "text", *, meaning: str = "one JSON document", has_short: bool = True
) -> Callable[[F], F]:
    """`--output`: `plain`, which is the default, or json. Commands whose -o is taken have only the long one."""
    names = ("--output", "-o") if has_short else ("--output",)
    return click.option(*names, type=click.Choice([plain, JSON]), default=plain, help=f"{plain}, or json: {meaning}.")


def show(document: Any, lines: Iterable[str], output: str) -> None:
    """Print the document as JSON, or the lines."""
    if output == JSON:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for line in lines:
            click.echo(line)


def show_table(
    documents: Sequence[dict[str, Any]], header: Sequence[str], rows: Iterable[Sequence[str]], output: str
) -> None:
    """Print the documents as JSON, or the rows below the header; nothing where there are none."""
    show(documents, table(header, rows) if documents else (), output)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines whose cells stand in columns on a terminal, and are separated by tabs elsewhere."""
    kept = [list(header), *([" ".join(cell.split()) for cell in row] for row in rows)]
    if not sys.stdout.isatty():
        return ["\t".join(row) for row in kept]
    import shutil

    from .tables import aligned

    room = shutil.get_terminal_size().columns
    return [line if len(line) <= room else f"{line[: room - 1]}…" for line in aligned(kept)]


def moment(seconds: int) -> str | None:
    """A time in unix seconds as RFC 3339; None for 0, which is no time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
