"""From what a program printed to the line that says why it ended, with the place in its own sources. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

LINES_AFTER = 12  # servers say, after an exception, that they stop; when more was printed since, it was handled
LINES_OF_PLAIN_TEXT = 6

_HEADER = "Traceback (most recent call last):"
_PYTHON_FRAME = re.compile(r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+)')
_NODE_ERROR = re.compile(r"(?:Uncaught )?[A-Z]?\w*(?:Error|Exception)(?: \[\w+\])?(?::|$)")
_NODE_FRAME = re.compile(r"\s+at (?:.*\()?(?:file://)?(?P<file>/[^():]+):(?P<line>\d+):\d+\)?(?: \{)?$")
_NODE_HEADER = re.compile(r"(?:file://)?(?P<file>/[^():]+):(?P<line>\d+)$")
_GO_PANIC = re.compile(r"(?:panic|fatal error): ")
_GO_FRAME = re.compile(r"\t(?P<file>/[^:]+\.go):(?P<line>\d+)")
_PLAIN = re.compile(r"(?:^|[\s\[(])(?:error|fatal|critical|panic)\s*[\]):]", re.IGNORECASE)
_NOT_OWN = re.compile(r"/(?:site|dist)-packages/|/lib/python[\d.]+/|/node_modules/|/go/src/|/pkg/mod/|^<|^node:")
_OUTSIDE = re.compile(r"^(?:.*/builds/[^/]+/[^/]+/source|/app|/usr/src/app)/")


def telling(output: str) -> str:
    """The exception, error or panic that a program ended with, and where; else its last line that names an error.

    Else its last line; blank when it printed nothing.
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    readers: tuple[Callable[[Sequence[str]], str], ...] = (_python, _go, _node, _plain)
    return next((found for read in readers if (found := read(lines))), "")


def _python(lines: Sequence[str]) -> str:
    headers = [index for index, line in enumerate(lines) if line.strip() == _HEADER]
    start = headers[-1] + 1 if headers else _unheaded(lines)
    if start is None:
        return ""
    after = lines[start:]
    end = next((index for index, line in enumerate(after) if not line[0].isspace()), None)
    if end is None or len(after) - end > LINES_AFTER:
        return ""
    return _placed(after[end], _own(_PYTHON_FRAME, reversed(after[:end])))


def _unheaded(lines: Sequence[str]) -> int | None:
    """Where the complaint about a file's syntax begins: Python prints no header when it is the first file."""
    ends = [index for index, line in enumerate(lines) if re.match(r"(?:Syntax|Indentation|Tab)Error: ", line)]
    if not ends:
        return None
    starts = [index for index in range(ends[-1]) if _PYTHON_FRAME.match(lines[index])]
    return starts[-1] if starts and all(line[0].isspace() for line in lines[starts[-1] : ends[-1]]) else None


def _go(lines: Sequence[str]) -> str:
    found = [index for index, line in enumerate(lines) if _GO_PANIC.match(line)]
    if not found or not any(line.startswith("goroutine ") for line in lines[found[-1] :]):
        return ""
    return _placed(lines[found[-1]], _own(_GO_FRAME, lines[found[-1] :]))


def _node(lines: Sequence[str]) -> str:
    frames = [index for index, line in enumerate(lines) if line.lstrip().startswith("at ") and line[0].isspace()]
    before = frames[-1] if frames else 0
    errors = [index for index in range(before) if _NODE_ERROR.match(lines[index])]
    if not errors or len(lines) - before > LINES_AFTER:
        return ""
    error = errors[-1]
    own = _own(_NODE_FRAME, lines[error:]) or _own(_NODE_HEADER, reversed(lines[max(0, error - 4) : error]))
    return _placed(lines[error], own)


def _plain(lines: Sequence[str]) -> str:
    last = lines[-LINES_OF_PLAIN_TEXT:]
    named = [line for line in last if _PLAIN.search(line)]
    return (named or last)[-1].strip() if last else ""


def _own(frame: re.Pattern[str], lines: Sequence[str] | Iterator[str]) -> str:
    """The first frame of `lines` in the program's own sources, as "file line number"."""
    for line in lines:
        if (match := frame.match(line)) and not _NOT_OWN.search(match["file"]):
            return f"{_OUTSIDE.sub('', match['file'])} line {match['line']}"
    return ""


def _placed(words: str, own: str) -> str:
    words = words.strip()
    return f"{words} ({own})" if own and own not in words else words
