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

from .addresses import network
from .callers import Account


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


class Streams:
    """How many streams are open at one edge of this process: by account, and by the namespaces of the accounts.

    Who has no account counts by network address, and all of them together as one namespace.
    """

    def __init__(self, *, processes: int = 1) -> None:
        self._processes = processes
        self._open: Counter[tuple[str, ...]] = Counter()

    def require_room(self, account: Account | None, *, most: int, address: str = "") -> None:
        """Raises ResourceExhausted when the caller, or the namespace, has as many as it may; it may have `most`."""
        one, all_of_it = _holders(account, address)
        own = settings.MICRO_STREAMS_PER_ACCOUNT
        if self._open[one] >= self._share(own):
            who = f"Account {account.name!r}" if account else "An address"
            raise ResourceExhausted(f"{who} may have {own} streams open at a time; end one first.", retry_after_s=10)
        if self._open[all_of_it] >= self._share(most):
            who = f"Namespace {account.issuer!r}" if account else "The strangers of this server"
            raise ResourceExhausted(f"{who} may have {most} streams open at a time; end one first.", retry_after_s=10)

    @contextmanager
    def one_more(self, account: Account | None, *, most: int, address: str = "") -> Iterator[None]:
        """Count one while the block runs. Raises as `require_room` does."""
        self.require_room(account, most=most, address=address)
        holders = _holders(account, address)
        self._open.update(holders)
        try:
            yield
        finally:
            self._open.subtract(holders)
            for holder in holders:
                if not self._open[holder]:
                    del self._open[holder]

    def _share(self, limit: int) -> int:
        return max(1, math.ceil(limit / self._processes))


def _holders(account: Account | None, address: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who holds a stream: one, and all of the same kind."""
    if account is None:
        return ("address", network(address)), ("strangers",)
    return ("account", account.issuer, account.id), ("namespace", account.issuer)


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
