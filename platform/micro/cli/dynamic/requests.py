"""From flags, JSON and stdin to the messages that are sent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from micro.cli.failures import Failure

from .endpoints import Endpoint
from .flags import Flags, Given
from .values import coerced

Message = dict[str, Any]
STDIN = 0


def one(endpoint: Endpoint, flags: Flags) -> Message:
    """The request of a method that takes one message."""
    documents = [document for text in flags.options.get("json", []) for document in _documents(text)]
    if len(documents) > 1:
        raise Failure(f"{endpoint.name} takes one message, and --json gives {len(documents)}.")
    return merged(documents[0] if documents else {}, from_flags(flags.fields))


def several(flags: Flags) -> Iterator[Message]:
    """The requests of a method that takes a stream: from each --json, from the flags, else from stdin, one a line."""
    over = from_flags(flags.fields)
    texts = flags.options.get("json", [])
    if over and not texts:
        return iter([over])
    return (merged(document, over) for text in texts or ["-"] for document in streamed(text))


def from_flags(given: list[Given]) -> Message:
    """The request that flags alone make. Raises Failure for a value that does not fit, and for flags that clash."""
    _require_one_of_each(given)
    _require_no_overlap(given)
    request: Message = {}
    for flag in sorted(given, key=lambda flag: [part if isinstance(part, int) else -1 for part in flag.path]):
        _place(request, flag, coerced(flag.flag, flag.field, flag.values))
    return request


def _require_one_of_each(given: list[Given]) -> None:
    chosen: dict[tuple[object, ...], tuple[str | int, str]] = {}
    for flag in given:
        for depth, step in enumerate(flag.steps):
            if step.field.oneof:
                first, spelled = chosen.setdefault((flag.path[:depth], step.field.oneof), (step.part, flag.flag))
                if first != step.part:
                    raise Failure(f"--{spelled} and --{flag.flag} exclude each other: both are {step.field.oneof}.")


def _require_no_overlap(given: list[Given]) -> None:
    """Micro refuses a message and one of its fields at once."""
    paths = {flag.path for flag in given}
    for flag in given:
        if whole := next((flag.path[:depth] for depth in range(1, len(flag.path)) if flag.path[:depth] in paths), None):
            raise Failure(f"Error parsing request, duplicate key: {whole[-1]}")


def _place(request: Message, flag: Given, value: Any) -> None:
    branch: Any = request
    for part, following in pairwise(flag.path):
        branch = _child(branch, part, [] if isinstance(following, int) else {}, flag)
    _child(branch, flag.path[-1], value, flag)


def _child(branch: Any, part: Any, fresh: Any, flag: Given) -> Any:
    """What is at `part`, which is `fresh` when nothing was."""
    if isinstance(branch, dict):
        return branch.setdefault(part, fresh)
    if part > len(branch):
        raise Failure(f"--{flag.flag} leaves a gap: item {len(branch)} is missing.")
    if part == len(branch):
        branch.append(fresh)
    return branch[part]


def merged(under: Message, over: Message) -> Message:
    """`over`, with what only `under` says."""
    result = dict(under)
    for name, value in over.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


# JSON.


def _documents(text: str) -> list[Message]:
    """The objects in JSON, in a file or on stdin: one, several in a row, or an array of them."""
    source, content = _content(text)
    decoder, position, found = json.JSONDecoder(), 0, []
    try:
        while content[position:].strip():
            position += len(content[position:]) - len(content[position:].lstrip())
            document, position = decoder.raw_decode(content, position)
            found += document if isinstance(document, list) else [document]
    except (ValueError, RecursionError) as error:
        raise Failure(f"Invalid value for {source}: {error}") from None
    return [_object(document, source) for document in found]


def _content(text: str) -> tuple[str, str]:
    """Where the JSON is, and the JSON."""
    if text != "-" and not text.startswith("@"):
        return "--json", text
    source = "stdin" if text == "-" else text[1:]
    try:
        return source, (sys.stdin.buffer.read() if text == "-" else Path(source).read_bytes()).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Failure(f"Invalid value for --json: {source}: {reason}") from None


def _object(document: object, source: str) -> Message:
    if not isinstance(document, dict):
        raise Failure(f"Invalid value for {source}: {json.dumps(document, ensure_ascii=False)} is no JSON object")
    return document


def streamed(text: str) -> Iterator[Message]:
    """Each object as soon as it is there."""
    if text != "-":
        yield from _documents(text)
        return
    if os.isatty(STDIN):
        sys.stderr.write("One JSON object a line; Ctrl-D ends.\n")
    for number, line in enumerate(_lines(), 1):
        if line.strip():
            try:
                yield _object(json.loads(line), f"line {number} of stdin")
            except (ValueError, RecursionError) as error:
                raise Failure(f"Invalid value for line {number} of stdin: {error}") from None


def _lines() -> Iterator[bytes]:
    """The lines of stdin. Read without Python's buffer, whose lock a thread that still waits would hold at exit."""
    rest = b""
    while data := os.read(STDIN, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
    if rest:
        yield rest
