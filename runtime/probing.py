"""Asking starting replicas in the background, some at a time, so that slow ones keep nobody else's from being ready."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

from . import probes
from .builds import protos
from .models import Replica

AT_ONCE = 32  # each waits for seconds on a replica that accepts and does not answer yet
OF_A_NAMESPACE = 8
PAUSE_S = 0.05  # between two questions to a replica


class Prober:
    """What starting replicas were asked, and what they have said. Calls `wake` when there is an answer."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="probe")
        self._probes: dict[UUID, probes.Probe] = {}
        self._answers: dict[UUID, Future[probes.Ready | None]] = {}
        self._next: dict[UUID, float] = {}
        self._awaited: Counter[int] = Counter()  # answers, by namespace
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ask nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def answer(self, replica: Replica) -> probes.Ready | None:
        """What the replica has answered since it was asked; None while it has not."""
        future = self._answers.get(replica.pk)
        if future is None or not future.done():
            return None
        del self._answers[replica.pk]
        self._next[replica.pk] = time.monotonic() + PAUSE_S
        return future.result()

    def ask(self, replica: Replica, host: str, port: int) -> None:
        """Have it asked, unless it is already, was just now, or its namespace awaits as many answers as it may."""
        namespace_id = replica.namespace_id
        is_due = replica.pk not in self._answers and time.monotonic() >= self._next.get(replica.pk, 0.0)
        if not is_due or self._awaited[namespace_id] >= OF_A_NAMESPACE:
            return
        with self._lock:
            self._awaited[namespace_id] += 1
        probe = self._probes.setdefault(replica.pk, probes.Probe(replica.release.protocol))
        future = self._answers[replica.pk] = self._pool.submit(
            _ask, probe, host, port, bytes(replica.release.descriptors)
        )
        future.add_done_callback(lambda _done: self._answered(namespace_id))

    def forget(self, replica: Replica) -> None:
        """Its next answer is that of another process."""
        self._probes.pop(replica.pk, None)
        self._answers.pop(replica.pk, None)
        self._next.pop(replica.pk, None)

    def _answered(self, namespace_id: int) -> None:
        with self._lock:
            self._awaited[namespace_id] -= 1
        self._wake()


def _ask(probe: probes.Probe, host: str, port: int, protos_said: bytes) -> probes.Ready | None:
    """What answers at a replica's port, with the comments that its release's protos have for its descriptors."""
    ready = probe.ask(host, port)
    return replace(ready, descriptors=protos.with_comments(ready.descriptors, protos_said)) if ready else None
