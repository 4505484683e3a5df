"""Where replicas run. One small interface; the runner knows nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that a backend needs to start one replica."""

    replica_id: UUID
    command: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    log: Path


class Backend(Protocol):
    """Replicas by id. Every method may be called again without harm."""

    def start(self, launch: Launch) -> None:
        """Start it, unless it runs."""

    def is_running(self, replica_id: UUID) -> bool:
        """Whether its first process runs."""

    def is_gone(self, replica_id: UUID) -> bool:
        """Whether nothing of it runs."""

    def terminate(self, replica_id: UUID) -> None:
        """Ask all of it to stop."""

    def kill(self, replica_id: UUID) -> None:
        """Stop all of it now."""

    def forget(self, replica_id: UUID) -> None:
        """Stop what is left and remove its files."""

    def last_words(self, replica_id: UUID) -> str:
        """How its first process ended, such as "ended with status 1"."""

    def replica_ids(self) -> Collection[UUID]:
        """All that it has, running or not, whoever started them."""

    def descriptors(self) -> Mapping[int, UUID]:
        """File descriptors that become readable when a replica ends."""
