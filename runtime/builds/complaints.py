"""What a program said when it failed, in one line that can stand in a reason."""

from __future__ import annotations

import re
import textwrap
from itertools import takewhile

LONGEST = 500

_BEGINNING = re.compile(r"error: |\s*\u00d7 ")
_ORNAMENTS = " \t\u2570\u2500\u25b6\u251c\u2502\u00d7"  # the lines and arrows of uv's older messages


def of_uv(output: str) -> str:
    """uv's own message, and the last words of a package's build where that is what failed."""
    lines = output.splitlines()
    start = next((index for index, line in enumerate(lines) if _BEGINNING.match(line)), None)
    if start is None:
        return _shortened(next((line.strip() for line in reversed(lines) if line.strip()), ""))
    message = list(takewhile(str.strip, lines[start:]))
    said = _last_words_of_a_build(lines[start + len(message) :])
    return _shortened(_joined(message) + (f": {said}" if said else ""))


def _joined(message: list[str]) -> str:
    parts = [line.strip(_ORNAMENTS).removeprefix("error: ") for line in message]
    return " ".join(parts).replace(" cause: ", ": ")


def _last_words_of_a_build(lines: list[str]) -> str:
    """The end of the indented part that is headed by where a package's build wrote it."""
    sections = [index for index, line in enumerate(lines) if line.strip() in {"[stdout]", "[stderr]"}]
    if not sections:
        return ""
    section = takewhile(lambda line: not line or line[0].isspace(), lines[sections[-1] + 1 :])
    words = [line.strip() for line in section if line.strip() and not line.strip().startswith("hint:")]
    return words[-1] if words else ""


def _shortened(text: str) -> str:
    """Cut between two words, if at all."""
    return textwrap.shorten(text, LONGEST, placeholder=" \u2026")
