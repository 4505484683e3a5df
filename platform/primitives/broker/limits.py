"""What a namespace may use of the broker."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Limits:
    """Messages a second, and subscribers at a time."""

    messages_per_s: int
    subscribers: int


def of(namespace: str) -> Limits:
    """What `namespace` may use: what every namespace may, until plans differ."""
    return Limits(messages_per_s=settings.MICRO_BROKER_PER_SECOND, subscribers=settings.MICRO_BROKER_SUBSCRIBERS)
