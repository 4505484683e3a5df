"""A source's .proto files, for their comments: most languages leave them out of what reflection tells."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from micro import comments, interfaces

from . import manifests

SKIPPED = {".git", "node_modules", "vendor", "third_party", "googleapis"}
MOST_FILES = 50
LONGEST_S = 20.0  # for all of them
LARGEST_BYTES = 1024 * 1024  # of one file, and of all that is read


def read(folder: Path) -> bytes:
    """The folder's .proto files as a FileDescriptorSet, without what they import; blank when there are none.

    A file that protoc cannot read is left out: the service may do without it.
    """
    found = FileDescriptorSet()
    deadline = time.monotonic() + LONGEST_S
    for path in islice(_protos(folder), MOST_FILES):
        found.MergeFrom(_compiled(folder, path, deadline - time.monotonic()))
        if found.ByteSize() > LARGEST_BYTES:
            return b""
    return found.SerializeToString()


def with_comments(descriptors: bytes, protos: bytes) -> bytes:
    """Descriptors with the comments that `protos` have for what is in them. Both are FileDescriptorSets, or blank.

    Descriptors in which there is a fault stay as they are, for the registry to judge.
    """
    if not (descriptors and protos) or interfaces.find_fault(descriptors) or interfaces.find_fault(protos):
        return descriptors
    try:
        said = comments.of(FileDescriptorSet.FromString(protos))
        commented = comments.carried(FileDescriptorSet.FromString(descriptors), said).SerializeToString()
    except (TypeError, ValueError):  # protobuf has bytes for a string that is no UTF-8
        return descriptors
    return descriptors if interfaces.find_fault(commented) else commented


def _protos(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.proto")):
        inside = path.relative_to(folder)
        is_ours = not SKIPPED & set(inside.parts) and manifests.is_within(path, folder)
        if is_ours and path.stat().st_size <= LARGEST_BYTES:
            yield inside


def _compiled(folder: Path, path: Path, patience_s: float) -> FileDescriptorSet:
    """One file, with imports found from any folder above it; an empty set when that fails, or takes too long."""
    roots = [folder / parent for parent in path.parents]
    with tempfile.TemporaryDirectory() as out:
        file = Path(out) / "set"
        argv = manifests.limited_module("grpc_tools.protoc")
        argv += [*(f"-I{root}" for root in roots), "--include_source_info"]
        try:
            subprocess.run(
                [*argv, f"--descriptor_set_out={file}", str(folder / path)],
                cwd=out, env={}, capture_output=True, timeout=max(patience_s, 0.01), check=True,
            )  # fmt: skip
            content = manifests.beginning(file, LARGEST_BYTES + 1)
            is_moderate = len(content) <= LARGEST_BYTES and interfaces.has_few_parts(content, FileDescriptorSet)
            return FileDescriptorSet.FromString(content) if is_moderate else FileDescriptorSet()
        except (subprocess.SubprocessError, OSError, DecodeError):
            return FileDescriptorSet()
