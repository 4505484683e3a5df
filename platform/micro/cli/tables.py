"""Tables as Micro draws them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

TAB = 8
GAP = "  "


def tabbed(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines in columns on a terminal; elsewhere with tabs between the cells, two at least, as Micro had them."""
    kept = [list(row) for row in rows]
    if sys.stdout.isatty():
        return aligned(kept)
    stops = [_stop(column) for column in zip(*kept, strict=True)]
    return ["".join(_padded(cell, stop) for cell, stop in zip(row, stops, strict=True)).rstrip("\t") for row in kept]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines whose columns begin below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _stop(column: Sequence[str]) -> int:
    return (max(map(len, column)) // TAB + 1) * TAB


def _padded(cell: str, stop: int) -> str:
    return cell + "\t" * ((stop - len(cell) + TAB - 1) // TAB + 1)


def boxed(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table with borders."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    border = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    body = ["|" + "|".join(f" {cell:<{width}} " for cell, width in zip(row, widths, strict=True)) + "|" for row in rows]
    top = "|" + "|".join(f" {cell:^{width}} " for cell, width in zip(header, widths, strict=True)) + "|"
    return [border, top, border, *body, border]
