"""From the log of a build that failed to the reason: what the engine said, and in which line of the Dockerfile."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from micro.errors import Error, FailedPrecondition, InvalidArgument, ResourceExhausted
from runtime.backends import engine

from . import complaints, disks, instructions, limits

LAST_BYTES = 8192

_AWAY = (
    "Cannot connect to the Docker daemon",
    "error during connect",
    "Connection aborted",
    "error reading from server: EOF",
)
# An image of the same content was being removed, which the engine does not keep apart from making it.
_RACED = ("failed to get digest sha256:", "failed to get layer sha256:")
_FULL = "no space left on device"
_CUT = re.compile(r"(^|: )(unexpected )?EOF$")
_UNPARSED = re.compile(
    r"dockerfile parse error.*|unknown instruction.*|unknown flag.*|failed to parse dockerfile.*|"
    r"the dockerfile .*cannot be empty.*|file with no instructions.*|no build stage in current context.*|"
    r"[A-Z]+ must have two arguments|invalid containerport.*|base name .*should not be blank",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"executor failed running|returned a non-zero code|did not complete successfully"
)  # quotes its command
_PREFIX = re.compile(r"(dockerfile parse error:?|failed to parse dockerfile[.\w]*:?)\s*", re.IGNORECASE)
_LINE = re.compile(r"(?:on )?line (\d+):?\s*", re.IGNORECASE)
_EXCERPT = re.compile(r"Dockerfile:\d+$|\d+ \| ")  # what newer engines print of the Dockerfile


class Raced(Exception):
    """The engine removed what it had just made; another try makes it again."""


def of(log: Path, dockerfile: str) -> Error | engine.NoEngine | Raced:
    """The reason of a failed build, from the end of its log. `dockerfile` is its user's own; blank when it is ours."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    if any(words in line for line in lines[-5:] for words in _AWAY) or _CUT.search("".join(lines[-1:])):
        return engine.NoEngine("The Docker engine went away while it built.")
    if any(words in line for line in lines[-2:] for words in _RACED):
        return Raced("An image of the same content was removed meanwhile; building again.")
    said = [line.removesuffix('")') for line in reversed(lines[-3:]) if not _STEP.search(line)]
    if complaint := next((match[0] for line in said if (match := _UNPARSED.search(line))), ""):
        return InvalidArgument(f"The Dockerfile cannot be parsed{_unparsed(complaint, dockerfile)}")
    if no_room := next((line for line in reversed(lines[-25:]) if _FULL in line.lower()), ""):
        return ResourceExhausted(_full(no_room))
    if any(limits.is_killed(line) for line in lines[-5:]):
        return ResourceExhausted(limits.too_much_memory())
    why = complaints.of_tools("\n".join(lines)) or " ".join(_telling(lines))[-600:]
    line = instructions.failed_line(lines, dockerfile) if dockerfile else 0
    return FailedPrecondition(f"The image could not be built{f' (Dockerfile:{line})' if line else ''}: {why}")


def _full(said: str) -> str:
    """The engine's own disk, if that is the one; else the disk that the line names, such as a step's /dev/shm."""
    folder = disks.root()
    if folder and disks.is_full(folder):
        return disks.full(folder)
    return f"A disk was full while the image was built, though the engine's own is not: {said[-400:]}"


def _unparsed(complaint: str, dockerfile: str) -> str:
    """The end of the sentence: the line, as the engine names it or as we find it, and what is wrong there."""
    said = _PREFIX.sub("", complaint)
    named = _LINE.match(said)
    text = _LINE.sub("", said, count=1) if named else said
    numbers = [int(named[1])] if named else list(_blamed(text, dockerfile))
    where = f", line {' or '.join(map(str, numbers))}" if numbers else ""
    return f"{where}: {text}."


def _blamed(said: str, dockerfile: str) -> Iterator[int]:
    """The lines of which the engine complains, for when it does not name one itself."""
    lines = [(number, line.split()) for number, line in enumerate(dockerfile.splitlines(), 1)]
    written = [(number, words) for number, words in lines if words and not words[0].startswith("#")]
    if "no build stage" in said.lower():
        yield next(number for number, words in written if words[0].upper() != "ARG")
        return
    instruction = said.split(maxsplit=1)[0].upper()
    quoted = re.search(r"containerPort: (\S+)|base name \((.*?)\)", said, re.IGNORECASE)
    wanted = (quoted[1] or quoted[2]) if quoted else ""
    for number, words in written:
        is_short = words[0].upper() == instruction and not any("=" in word for word in words[1:])
        if (wanted and wanted in words[1:]) or (not wanted and is_short):
            yield number


def _telling(lines: Sequence[str]) -> list[str]:
    """The lines that say what went wrong: the last error, and what the failed step printed."""
    plain = [line for line in lines[-25:] if not line.startswith(("------", ">>>", "#", "[+]")) or "ERROR" in line]
    return [line for line in plain if not _EXCERPT.match(line)][-8:]
