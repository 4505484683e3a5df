"""What a program said when it failed, in one line that can stand in a reason."""

from __future__ import annotations

import re
import textwrap
from itertools import takewhile
from pathlib import Path

LONGEST = 500
MOST_LINES = 6
_READ_BYTES = 1 << 18

_BEGINNING = re.compile(r"error: |\s*\u00d7 ")
_ORNAMENTS = " \t\u2570\u2500\u25b6\u251c\u2502\u00d7"  # the lines and arrows of uv's older messages

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BUILDKIT = re.compile(r"(?:#\d+ )?(?:\d+\.\d+ )?")  # the step and its second, before what the step printed
_NPM = re.compile(r"npm (?:error|ERR!)\s?")
_NPM_NOISE = re.compile(
    r"\s|[-\[]|A complete log|Usage:|Options:|aliases:|Run \"npm|npm ci$|Clean install|\d+\s*$|code \d+$|path |command "
    r"|Lifecycle script|workspace |location "
    r"|(?:404|notarget)\s+(?:Note that you can|tarball, folder|This is probably not|In most cases|a package version)"
)
_YARN_ERRORS = "1|9|16|18|20|27|28|30|35|41|46|66|81|82"  # the others say how it goes, or warn
_GO_NEWS = "downloading|finding|found|added|upgraded|extracting|writing|creating|to add"
_TELLING = re.compile(
    r"ERROR: (?!failed to (?:build|solve)|process \"|The command '|executor failed)"  # pip
    r"|error: |fatal: |(?:[\w.]+\.)?\w*(?:Error|Exception)(?: \[\w+\])?: "  # Python, Node, git
    r"|error (?!Command failed)|(?:Usage|Internal) Error: |ERR_PNPM_\w+ |ERROR  "  # yarn 1, yarn, pnpm
    rf"|YN0*(?:{_YARN_ERRORS}): (?![-+])"
    rf"|\S+\.go:\d+|go\.mod:\d+|go: (?!{_GO_NEWS})|package \S+ is not in"
    r"|\S+\(\d+,\d+\): error |\S+\.[cm]?[jt]sx?:\d+(?::\d+)?(?:$| - error| )"  # TypeScript, Node
    r"|[\u2718X] \[ERROR\]|\S*sh: .*(?:not found|Permission denied)|Killed$"  # bundlers, shells
)


def printed(log: Path, start: int) -> str:
    """What was printed from byte `start` of a log on; of very much, its end."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _READ_BYTES))
        return file.read().decode(errors="replace")


def of_tools(output: str) -> str:
    """The lines in which pip, npm, yarn, pnpm, go or a compiler says why it failed; blank when there are none."""
    said = [line for raw in output.splitlines() if (line := _telling(raw))]
    return _shortened("; ".join(list(dict.fromkeys(said))[:MOST_LINES]))


def of_command(output: str) -> str:
    """The same, else the last lines that it printed."""
    lines = [line.strip() for line in _COLOURS.sub("", output).splitlines() if line.strip()]
    return of_tools(output) or " ".join(lines[-MOST_LINES:])[-LONGEST:]


def _telling(raw: str) -> str:
    """A line without its ornaments when it tells something, else blank."""
    plain = _COLOURS.sub("", raw).strip()
    line = _BUILDKIT.sub("", plain, count=1)
    if match := _NPM.match(line):
        said = line[match.end() :]
        return "" if not said or _NPM_NOISE.match(said) else said
    line = re.sub(r"^\u27a4 (YN\d+: )(?:[\u2502\u00b7\u250c\u2514] ?)?", r"\1", line).strip()
    return line if _TELLING.match(line) else ""


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
