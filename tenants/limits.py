"""Rate limits of what people do: a budget per key and window, kept in the database."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

from django.db import connection

from micro.errors import ResourceExhausted

from .models import Budget

SPEND = """
INSERT INTO tenants_budget AS budget (key, spent, renewed_at) VALUES (%(key)s, 1, %(renewed_at)s)
ON CONFLICT (key) DO UPDATE SET
  spent = CASE WHEN budget.renewed_at <= %(at)s THEN 1 ELSE budget.spent + 1 END,
  renewed_at = CASE WHEN budget.renewed_at <= %(at)s THEN excluded.renewed_at ELSE budget.renewed_at END
RETURNING spent, renewed_at
"""
TIDY_ONE_IN = 200


def spend(key: str, *, limit: int, per: timedelta, at: datetime) -> None:
    """Count one use of `key`. Raises ResourceExhausted, with the time to wait, from the one after `limit` on."""
    with connection.cursor() as cursor:
        cursor.execute(SPEND, {"key": key[:300], "at": at, "renewed_at": at + per})
        spent, renewed_at = cursor.fetchone()
    if random.randrange(TIDY_ONE_IN) == 0:  # noqa: S311 - chance, not secrecy
        Budget.objects.filter(renewed_at__lt=at).delete()
    if spent > limit:
        wait = renewed_at - at
        raise ResourceExhausted(f"That was too often. Try again in {_spoken(wait)}.", retry_after_s=_seconds(wait))


def renew(key: str) -> None:
    """Give a key its whole budget back."""
    Budget.objects.filter(key=key[:300]).delete()


def _seconds(wait: timedelta) -> int:
    return max(1, math.ceil(wait.total_seconds()))


def _spoken(wait: timedelta) -> str:
    seconds = _seconds(wait)
    return f"{seconds} seconds" if seconds < 100 else f"{-(-seconds // 60)} minutes"
