"""What the gateway does when others ask."""

from __future__ import annotations

from django.db import connection

from primitives.registry.records import CHANNEL
from tenants.models import Namespace


def announce(namespace: Namespace) -> None:
    """Have the new namespace served as soon as its transaction commits, rather than at the next look around."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
