"""Brings the schemas of many namespaces to this version: only those that lack something, several at a time.

Each schema is migrated by itself and keeps its own books, so whatever is cut short goes on where it was.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache

from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from tenants import schemas
from tenants.models import Namespace

from .errors import CannotRun

PROCESSES = min(8, os.cpu_count() or 1)
FEW = 8  # so many are done before further processes have begun
ASKED_AT_ONCE = 200  # schemas in one statement


def migrate(*, processes: int = PROCESSES) -> int:
    """Migrate every namespace's schema that is behind; how many there were.

    One that cannot be migrated holds up no other. Raises CannotRun, naming the first of those, when all are done.
    """
    late = list(behind())
    failures = [failure for failure in _migrate_all(late, processes) if failure]
    if failures:
        raise CannotRun(
            f"{len(failures)} of {len(late)} namespaces could not be migrated ({failures[0]}): "
            "correct that and start again; those that could are done."
        )
    return len(late)


def behind() -> Iterator[str]:
    """The schemas that lack a migration, or all of them."""
    every = sorted(Namespace.objects.values_list("schema_name", flat=True))
    for start in range(0, len(every), ASKED_AT_ONCE):
        yield from _lacks(every[start : start + ASKED_AT_ONCE])


def _lacks(some: Sequence[str]) -> list[str]:
    """Those of some schemas that lack a migration."""
    counts = _counts(some)
    return [schema for schema in some if counts.get(schema, 0) < _expected()]


@cache
def _expected() -> int:
    return len(MigrationLoader(None).disk_migrations or {})


def _counts(some: Sequence[str]) -> dict[str, int]:
    """How many migrations each schema has; nothing for those without books."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename = 'django_migrations' AND schemaname = ANY (%s)",
            [list(some)],
        )
        booked = [name for (name,) in cursor.fetchall()]
        if not booked:
            return {}
        counts = (
            sql.SQL("SELECT {}, count(*) FROM {}.django_migrations").format(sql.Literal(name), sql.Identifier(name))
            for name in booked
        )
        cursor.execute(sql.SQL(" UNION ALL ").join(counts))
        return dict(cursor.fetchall())


def _migrate_all(late: Sequence[str], processes: int) -> list[str]:
    """Why each could not be migrated; blank where it could."""
    if len(late) <= FEW or processes == 1:
        return [_migrate(schema) for schema in late]
    connections.close_all()  # a connection serves one process
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(_migrate, late, chunksize=4))


def _migrate(schema: str) -> str:
    try:
        if _counts([schema]):  # it has books
            schemas.copy_shared_history(schema)
        if _lacks([schema]):
            schemas.migrate(schema)
    except Exception as error:  # noqa: BLE001 - whatever it is, the next one is none the worse
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"{schema}: {lines[0]}"
    return ""
