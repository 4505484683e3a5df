"""The outcomes as a table: a row for each process that died, a column for each step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cells import Outcome
from steps import STEPS


def rendered(outcomes: Iterable[Outcome]) -> str:
    """The table, and below it what went wrong."""
    outcomes = list(outcomes)
    rows = [["killed (-9) while it is", *STEPS]]
    for name in dict.fromkeys((found.backend, found.victim) for found in outcomes):
        cells = {found.step: found.text for found in outcomes if (found.backend, found.victim) == name}
        rows.append([" ".join(reversed(name)), *(cells.get(step, "") for step in STEPS)])
    wrong = [f"{found.victim} {found.step} ({found.backend}): {found.problem}" for found in outcomes if found.problem]
    answered, lost = sum(found.answered for found in outcomes), sum(found.lost for found in outcomes)
    return "\n".join([*_aligned(rows), f"{answered} requests answered, {lost} lost.", *wrong])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
