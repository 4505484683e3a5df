"""What a namespace may use of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tenants import quotas


@dataclass(frozen=True, slots=True)
class Limits:
    """Retention by `age` and `size_bytes`; how many groups, open consumers, events a second, and dead letters."""

    age: timedelta
    size_bytes: int
    groups: int
    consumers: int
    events_per_s: int
    dead_letters: int


def of(namespace: str) -> Limits:
    """What the plan of `namespace` lets it use."""
    limit = quotas.known.limit
    return Limits(
        age=limit(namespace, "event_age"),
        size_bytes=limit(namespace, "event_bytes"),
        groups=limit(namespace, "groups"),
        consumers=limit(namespace, "consumers"),
        events_per_s=limit(namespace, "events_per_s"),
        dead_letters=limit(namespace, "dead_letters"),
    )
