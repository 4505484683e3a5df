"""Comments of protos: they travel as `source_code_info`, which whoever does not know it skips."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

# The parts of a file that have comments, and the parts of those.
PARTS: dict[str, tuple[str, ...]] = {
    "FileDescriptorProto": ("message_type", "enum_type", "service"),
    "DescriptorProto": ("field", "nested_type", "enum_type", "oneof_decl"),
    "EnumDescriptorProto": ("value",),
    "ServiceDescriptorProto": ("method",),
}
OURS = Path(__file__).with_name("proto") / "comments.json"  # made by `make proto`, as the generated code has none


def of(files: FileDescriptorSet) -> dict[str, str]:
    """The comments by the full names of what they are about; none where none survived."""
    return {name: text for file in files.file for name, text in _of(file).items()}


@cache
def ours() -> dict[str, str]:
    """The comments of the platform's own protos."""
    found: dict[str, str] = json.loads(OURS.read_text(encoding="utf-8"))
    return found


def as_json(files: FileDescriptorSet) -> str:
    """The comments of files as OURS keeps them."""
    return json.dumps(of(files), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _of(file: FileDescriptorProto) -> dict[str, str]:
    names = dict(_places(file))
    found = {}
    for location in file.source_code_info.location:
        text = inspect.cleandoc(location.leading_comments or location.trailing_comments)
        if text and (name := names.get(tuple(location.path))):
            found[name] = text
    return found


def carried(files: FileDescriptorSet, said: Mapping[str, str], *, largest_bytes: int = 1 << 20) -> FileDescriptorSet:
    """The same files with what is said of their parts; comments that they have stay.

    A part that would make the files larger than `largest_bytes` goes without.
    """
    result = FileDescriptorSet.FromString(files.SerializeToString())
    left_bytes = largest_bytes - result.ByteSize()
    for file in result.file:
        own = _of(file)
        for path, name in _places(file):
            if name in said and name not in own:
                cost_bytes = 4 * len(said[name]) + 12 * len(path) + 64  # at most, with its place and span
                if cost_bytes <= left_bytes:
                    left_bytes -= cost_bytes
                    put(file, path, said[name])
    return result


def put(file: FileDescriptorProto, path: Iterable[int], text: str) -> None:
    """Write a comment to the part at a path of field numbers and indexes; a blank one is none."""
    if text:
        file.source_code_info.location.add(path=path, span=(0, 0, 0), leading_comments=text)


def _places(node: Any, path: tuple[int, ...] = (), scope: str = "") -> Iterator[tuple[tuple[int, ...], str]]:
    """The path and the full name of each part of a file."""
    scope = scope or getattr(node, "package", "")
    for part in PARTS.get(node.DESCRIPTOR.name, ()):
        number = node.DESCRIPTOR.fields_by_name[part].number
        for index, inner in enumerate(getattr(node, part)):
            name = f"{scope}.{inner.name}".lstrip(".")
            yield (*path, number, index), name
            yield from _places(inner, (*path, number, index), name)


if __name__ == "__main__":  # of a FileDescriptorSet on stdin
    OURS.write_text(as_json(FileDescriptorSet.FromString(sys.stdin.buffer.read())), encoding="utf-8")
