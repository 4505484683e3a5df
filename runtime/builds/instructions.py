"""The instructions of a Dockerfile by their lines, and the one that a builder says it failed at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# What newer engines say at the end, what older ones with BuildKit do, and what the classic builder says at each step.
_LINE = re.compile(r"Dockerfile:(\d+)$")
_STEP_OF_BUILDKIT = re.compile(r"> \[(?:.* )?\d+/\d+\] (.+):$")
_STEP = re.compile(r"Step (\d+)/(\d+) : ")
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: the line that it begins in, counted from 1, and its words."""

    line: int
    words: tuple[str, ...]


def read(dockerfile: str) -> Iterator[Instruction]:
    """The instructions in order, without the comments within them."""
    found = _ESCAPE.match(dockerfile)
    escape = found[1] if found else "\\"
    begun, words = 0, []
    for number, raw in enumerate(dockerfile.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        begun = begun or number
        words += line.removesuffix(escape).split()
        if not line.endswith(escape):
            yield Instruction(begun, tuple(words))
            begun, words = 0, []


def failed_line(said: Sequence[str], dockerfile: str) -> int:
    """The line of the instruction at which a build failed, by the end of what it said; 0 where that is not clear."""
    for line in reversed(said):
        if named := _LINE.match(line):
            return int(named[1])
        if step := _STEP_OF_BUILDKIT.match(line):
            return _line_of(step[1], dockerfile)
        if step := _STEP.match(line):
            return _line_of_step(int(step[1]), int(step[2]), dockerfile)
    return 0


def _line_of(text: str, dockerfile: str) -> int:
    """The line of the only instruction that reads so."""
    words = tuple(text.split())
    lines = [found.line for found in read(dockerfile) if _named_alike(found.words) == _named_alike(words)]
    return lines[0] if len(lines) == 1 else 0


def _named_alike(words: Sequence[str]) -> tuple[str, ...]:
    return (words[0].upper(), *words[1:])


def _line_of_step(number: int, count: int, dockerfile: str) -> int:
    found = list(read(dockerfile))
    return found[number - 1].line if len(found) == count else 0
