"""Tables as Micro draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TAB = 8


def tabbed(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines whose columns stand apart by tabs, two at least, so that both eyes and `cut` can tell them apart."""
    kept = [list(row) for row in rows]
    stops = [_stop(column) for column in zip(*kept, strict=True)]
    return ["".join(_padded(cell, stop) for cell, stop in zip(row, stops, strict=True)).rstrip("\t") for row in kept]


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
