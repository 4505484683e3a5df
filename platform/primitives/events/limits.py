"""What a namespace may use of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings


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
    """What `namespace` may use: what every namespace may, until plans differ."""
    return Limits(
        age=settings.MICRO_EVENTS_AGE,
        size_bytes=settings.MICRO_EVENTS_BYTES,
        groups=settings.MICRO_EVENTS_GROUPS,
        consumers=settings.MICRO_EVENTS_CONSUMERS,
        events_per_s=settings.MICRO_EVENTS_PER_SECOND,
        dead_letters=settings.MICRO_EVENTS_DEAD_LETTERS,
    )
