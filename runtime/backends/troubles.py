"""Limits that containers meet while they run on: memory and processes. So that the status can name them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from django.conf import settings

LATELY_S = 60.0
LOOK_EVERY_S = 5.0
ROOT = Path("/sys/fs/cgroup")


@dataclass(slots=True)
class _Counted:
    refused: int = 0  # forks
    looked_at: float = float("-inf")
    refused_at: float = float("-inf")


@dataclass(slots=True)
class Watch:
    """What has been seen of each replica. The kernel counts; a remote engine's counters are out of reach."""

    _memory: dict[UUID, float] = field(default_factory=dict)
    _processes: dict[UUID, _Counted] = field(default_factory=dict)

    def ran_out_of_memory(self, replica_id: UUID) -> None:
        """Something in it was killed for memory, now."""
        self._memory[replica_id] = time.monotonic()

    def forget(self, replica_id: UUID) -> None:
        """It is gone."""
        self._memory.pop(replica_id, None)
        self._processes.pop(replica_id, None)

    def of(self, replica_id: UUID, container_id: str) -> str:
        """The limit that it has met lately, as a sentence; blank when there is none."""
        since = time.monotonic() - LATELY_S
        if self._memory.get(replica_id, float("-inf")) > since:
            return (
                f"It needs more than its {settings.MICRO_REPLICA_MEMORY_MIB} MiB of memory: a process of it was killed."
            )
        if self._refused_at(replica_id, container_id) > since:
            return f"It wants more than its {settings.MICRO_REPLICA_PIDS} processes: further ones are refused."
        return ""

    def _refused_at(self, replica_id: UUID, container_id: str) -> float:
        """When it was last refused a process, as far as we looked."""
        counted = self._processes.setdefault(replica_id, _Counted())
        at = time.monotonic()
        if at - counted.looked_at >= LOOK_EVERY_S:
            refused = _refused_forks(container_id)
            if refused > counted.refused:
                counted.refused_at = at
            counted.refused, counted.looked_at = refused, at
        return counted.refused_at


def _refused_forks(container_id: str) -> int:
    """How many processes the kernel has refused to the container; 0 where that cannot be read."""
    places = (
        ROOT / "pids" / "docker" / container_id,
        ROOT / "docker" / container_id,
        ROOT / "system.slice" / f"docker-{container_id}.scope",
    )
    for place in places:
        with contextlib.suppress(OSError, ValueError):
            words = (place / "pids.events").read_text().split()
            return int(words[words.index("max") + 1])
    return 0
