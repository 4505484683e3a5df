"""JSON documents as sets of leaves. Pure: no database, no namespaces.

A leaf is whatever is not an object, and an object without members. A path is the members that lead to it, as a tuple.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from micro.errors import InvalidArgument

Path = tuple[str, ...]

MAX_DEPTH = 32
MAX_PATH_BYTES = 1024
LONGEST_NUMBER = 300  # characters
MASK = '"[secret]"'


class Number(str):
    """A number as it was written: 1.10 stays 1.10, however long."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value as JSON, or one that only the holder of a key can read."""

    value: str
    sealed: bytes | None = None

    @property
    def is_secret(self) -> bool:
        return self.sealed is not None

    @property
    def shown(self) -> str:
        """Its JSON, masked when it is a secret."""
        return MASK if self.is_secret else self.value


Reveal = Callable[[Path, Leaf], str]


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """`a.b.c` as a path; blank is the whole tree. Raises InvalidArgument for one that is too long."""
    path = tuple(text.split(".")) if text else ()
    require_path(path)
    return path


def require_path(path: Path) -> None:
    """Raises InvalidArgument for a path that is too deep, too long, or holds what no path may hold."""
    if len(path) > MAX_DEPTH:
        raise InvalidArgument(f"The path is deeper than {MAX_DEPTH} levels.")
    text = ".".join(path)
    if "\0" in text:
        raise InvalidArgument("The path holds a NUL character.")
    if len(text.encode(errors="replace")) > MAX_PATH_BYTES:
        raise InvalidArgument(f"The path is longer than {MAX_PATH_BYTES} bytes.")


def parse(text: str) -> Any:
    """The value of a JSON text, its numbers as Number. Raises InvalidArgument unless all readers agree on it."""
    try:
        value = json.loads(
            text,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
        encode(value).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidArgument(f"Request is invalid JSON: {reason}") from None
    return value


def encode(value: Any) -> str:
    """Compact JSON with sorted keys and the numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quote(key)}:{encode(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encode, value)) + "]"
    return _quote(value)


def leaves(value: Any, at: Path) -> Iterator[tuple[Path, str]]:
    """Every leaf of a value that stands at a path, with its JSON."""
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from leaves(member, (*at, key))
    else:
        require_path(at)
        yield at, encode(value)


_Held = TypeVar("_Held")


def displaced(existing: Mapping[Path, _Held], new: Mapping[Path, str]) -> set[Path]:
    """The existing leaves that cannot stay beside the new ones: at their paths, above them, or below."""
    ordered = sorted(existing)
    gone: set[Path] = set()
    for path in new:
        gone.update(path[:length] for length in range(len(path) + 1) if path[:length] in existing)
        gone.update(below(ordered, path))
    return gone


def below(ordered: Sequence[Path], path: Path) -> Iterator[Path]:
    """The paths that lead through `path` or end there, of sorted ones."""
    for found in ordered[bisect_left(ordered, path) :]:
        if found[: len(path)] != path:
            return
        yield found


def overlap(one: Path, other: Path) -> bool:
    """Whether what happens at one path can be seen at the other."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


class Tree:
    """The leaves of one moment. Answers for a path are remembered, secrets are not."""

    def __init__(self, revision: int, found: Mapping[Path, Leaf]) -> None:
        self.revision = revision
        self.leaves = found
        self.size_bytes = sum(size_of(path, leaf) for path, leaf in found.items())
        self._texts: dict[Path, str] = {}

    def text(self, path: Path, *, reveal: Reveal | None = None) -> str:
        """The JSON of what is at `path`, `null` when nothing is. Secrets are masked unless `reveal` opens them."""
        if reveal is not None:
            return self._encode(path, reveal)
        if path not in self._texts:
            if len(self._texts) > len(self.leaves) + 100:  # made-up paths must not fill the memory
                self._texts.clear()
            self._texts[path] = self._encode(path, lambda _path, leaf: leaf.shown)
        return self._texts[path]

    @cached_property
    def _nested(self) -> Any:
        """Objects as dicts, leaves as (path, Leaf)."""
        root: Any = {}
        for path, leaf in self.leaves.items():
            if not path:
                return path, leaf
            branch = root
            for key in path[:-1]:
                branch = branch.setdefault(key, {})
            branch[path[-1]] = path, leaf
        return root

    def _encode(self, path: Path, reveal: Reveal) -> str:
        found = self._nested
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return "null" if found is None else _encode_nested(found, reveal)


def size_of(path: Path, leaf: Leaf) -> int:
    """What a leaf takes of its namespace's share, in bytes."""
    return sum(len(key.encode()) for key in path) + len(leaf.value.encode()) + len(leaf.sealed or b"")


def _encode_nested(found: Any, reveal: Reveal) -> str:
    if isinstance(found, dict):
        members = (f"{_quote(key)}:{_encode_nested(found[key], reveal)}" for key in sorted(found))
        return "{" + ",".join(members) + "}"
    return reveal(*found)


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key appears twice")
    return members


def _number(text: str) -> Number:
    """Refuses what not every reader takes: Python ends at 4,300 digits, others make infinity of large numbers."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of more than {LONGEST_NUMBER} digits")
    return Number(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
