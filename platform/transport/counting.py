"""Limits that need no database: so many calls a second, so many streams at a time, by namespace.

Each sidecar process counts what it serves; its share of a limit is the limit divided by the number of processes.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from micro.errors import ResourceExhausted


def share(limit: int) -> int:
    """What this process may give out of a limit."""
    return max(1, math.ceil(limit / settings.MICRO_SIDECAR_PROCESSES))


class Rate:
    """How much of its limit each namespace has used of late; after a pause it may go twice as fast for a second."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._left: dict[str, tuple[float, float]] = {}  # by namespace: how many, as of when

    def take(self, namespace: str, *, per_s: int) -> None:
        """Count one; raises ResourceExhausted when there is none left."""
        own = share(per_s)
        now = time.monotonic()
        left, at = self._left.get(namespace, (2.0 * own, now))
        left = min(2.0 * own, left + (now - at) * own)
        if left < 1:
            wait_ms = math.ceil((1 - left) / own * 1000)
            raise ResourceExhausted(
                f"Namespace {namespace!r} may publish {per_s} {self._noun} a second; try again in {wait_ms} ms."
            )
        self._left[namespace] = (left - 1, now)


class Concurrent:
    """How many streams each namespace has open."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, namespace: str, *, limit: int) -> Iterator[None]:
        """Count one while the block runs; raises ResourceExhausted when the namespace has all it may have."""
        if self._open[namespace] >= share(limit):
            raise ResourceExhausted(f"Namespace {namespace!r} may have {limit} {self._noun} at a time; end one first.")
        self._open[namespace] += 1
        try:
            yield
        finally:
            self._open[namespace] -= 1
            if not self._open[namespace]:
                del self._open[namespace]
