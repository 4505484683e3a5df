"""A cache that is bounded by what its values weigh, not by how many they are: tenants choose both."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")

LARGEST_BYTES = 64 << 20
ENTRY_BYTES = 1 << 10  # that an entry weighs at least


class Remembered(Generic[V]):
    """What was worked out of descriptors, by their digests; the values that were not used for longest make room."""

    def __init__(self, largest_bytes: int = LARGEST_BYTES) -> None:
        self._largest_bytes = largest_bytes
        self._entries: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self._size_bytes = 0

    def get(self, digest: str) -> V | None:
        """The value, if it is remembered."""
        if digest not in self._entries:
            return None
        self._entries.move_to_end(digest)
        return self._entries[digest][0]

    def put(self, digest: str, value: V, *, size_bytes: int) -> None:
        """Remember a value that weighs about so much."""
        _, old_bytes = self._entries.pop(digest, (None, 0))
        self._entries[digest] = value, size_bytes + ENTRY_BYTES
        self._size_bytes += size_bytes + ENTRY_BYTES - old_bytes
        while self._size_bytes > self._largest_bytes and len(self._entries) > 1:
            _, (_, freed_bytes) = self._entries.popitem(last=False)
            self._size_bytes -= freed_bytes
