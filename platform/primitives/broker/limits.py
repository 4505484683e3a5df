"""What a namespace may use of the broker."""

from __future__ import annotations

from dataclasses import dataclass

from tenants import quotas


@dataclass(frozen=True, slots=True)
class Limits:
    """Messages a second, and subscribers at a time."""

    messages_per_s: int
    subscribers: int


def of(namespace: str) -> Limits:
    """What the plan of `namespace` lets it use."""
    limit = quotas.known.limit
    return Limits(messages_per_s=limit(namespace, "messages_per_s"), subscribers=limit(namespace, "subscribers"))
