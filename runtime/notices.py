"""The doorbell: whoever changes what the runner should do rings it, in the same transaction."""

from __future__ import annotations

from django.db import connection

CHANNEL = "runtime"


def ring() -> None:
    """Wake the runner when the current transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
