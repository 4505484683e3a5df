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
    command: Sequence[str]  # for an image: arguments that replace its own command, if any
    env: Mapping[str, str]
    folder: Path
    log: Path
    image: str = ""  # the digest of a container image; blank for a process
    namespace: str = ""
    service: str = ""
    deployment_id: UUID | None = None
    index: int = 0


class Away(RuntimeError):
    """The backend cannot be asked now, so that nothing is known about its replicas; it has changed nothing."""


class Backend(Protocol):
    """Replicas by id. Every method may be called again without harm, and may raise Away."""

    shares_ports: bool  # whether replicas listen on this machine's own ports, each on another

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

    def endpoint(self, replica_id: UUID, port: int | None) -> tuple[str, int] | None:
        """Where a replica is reached that was given `port`; None while it is nowhere."""

    def trouble(self, replica_id: UUID) -> str:
        """The limit that a running replica has met lately, as a sentence; blank when there is none."""

    def refusal(self) -> str:
        """Why strangers' code may not run here, as a sentence; blank when it may."""
