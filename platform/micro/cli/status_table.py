"""The table of `micro status`: whole and tabbed for programs, as wide as the terminal for people."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from micro.proto.runtime_pb2 import Service

HEADER = ("NAME", "VERSION", "SOURCE", "STATUS", "BUILD", "UPDATED", "METADATA")
SOURCE = HEADER.index("SOURCE")
GAP, INDENT = "  ", "  "
NARROWEST = 80  # columns; on a narrower terminal lines are as long as on one of these
SHORTEST_SOURCE = 8


def for_programs(services: Sequence[Service]) -> list[str]:
    """Lines whose cells are whole and separated by tabs."""
    now = datetime.now(UTC)
    rows = [(*_row(service, at=now), _metadata(service)) for service in services]
    return ["\t".join(row) for row in [HEADER, *rows]]


def on_a_terminal(services: Sequence[Service]) -> list[str]:
    """Lines in columns, as wide as the terminal is now."""
    import shutil

    return for_eyes(services, columns=shutil.get_terminal_size().columns)


def for_eyes(services: Sequence[Service], *, columns: int) -> list[str]:
    """Lines in columns, none longer than the terminal. Where ADDRESS and METADATA have no room, they have lines of
    their own, as many as it takes; a source is shortened to what the other columns leave of it.
    """
    columns = max(columns, NARROWEST)
    now = datetime.now(UTC)
    rows = [HEADER[:-1], *(_row(service, at=now) for service in services)]
    addresses = ["ADDRESS", *(_one_line(service.metadata.get("address", "")) for service in services)]
    wide = _aligned([(*row, address) for row, address in zip(rows, addresses, strict=True)])
    metadata = [HEADER[-1], *map(_metadata, services)]
    if len(wide[0]) + len(GAP) + max(map(len, metadata)) > columns:
        return _folded(rows, addresses, metadata, columns)
    return [f"{start}{GAP}{last}" for start, last in zip(wide, metadata, strict=True)]


def _folded(
    rows: Sequence[Sequence[str]], addresses: Sequence[str], metadata: Sequence[str], columns: int
) -> list[str]:
    over = max(len(_aligned(rows)[0]) - columns, 0)
    longest = max(max(len(row[SOURCE]) for row in rows) - over, SHORTEST_SOURCE)
    starts = _aligned([(*row[:SOURCE], _end(row[SOURCE], longest), *row[SOURCE + 1 :]) for row in rows])
    return [
        line
        for start, address, last in zip(starts, addresses, metadata, strict=True)
        for line in (
            _shortened(start.rstrip(), columns),
            *_wrapped(f"{address}{GAP}{last}" if address else last, columns),
        )
    ]


def _wrapped(text: str, columns: int) -> list[str]:
    return textwrap.wrap(text, columns, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]


def _row(service: Service, *, at: datetime) -> tuple[str, ...]:
    """What is known of a service, but for its metadata."""
    from micro import runtime

    known = service.metadata
    build = known.get("build", "")[:7] or "n/a"
    source = known.get("source") or service.source
    since = age(known.get("since") or known.get("started", ""), at=at)
    row = (service.name, service.version, source, runtime.status(service), build, since)
    return tuple(map(_one_line, row))


def _metadata(service: Service) -> str:
    """Whose it is, and what is wrong with it."""
    from micro import runtime

    known = service.metadata
    whose = f"owner={known.get('owner') or 'n/a'}, group={known.get('group') or 'n/a'}"
    more = "".join(f", {key}={known[key]}" for key in ("warning", "serving", "grants") if known.get(key))
    if runtime.status(service) != "error":
        return _one_line(whose + more)
    more = more if known.get("serving") else f"{more}, serving=nothing"
    return _one_line(f"{whose}, error={known.get('error', '')}{more}")


def _shortened(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1].rstrip()}…"


def _end(text: str, room: int) -> str:
    """The end of a source, which tells it apart from others better than its beginning does."""
    return text if len(text) <= room else f"…{text[-(room - 1) :]}"


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
