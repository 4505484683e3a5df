"""Housekeeping of the store."""

from __future__ import annotations

from celery import shared_task

from . import operations


@shared_task(name="store.remove_expired")  # type: ignore[untyped-decorator]
def remove_expired(**_later_arguments: object) -> None:
    """Free the space of expired records, which nobody has seen since they expired."""
    while operations.remove_expired() > 0:
        pass
