"""Brings the schemas of many namespaces to this version: only those that lack something, several at a time.

Each schema is migrated by itself and keeps its own books, so whatever is cut short goes on where it was.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

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
    expected = len(MigrationLoader(None).disk_migrations or {})
    schemas = sorted(Namespace.objects.values_list("schema_name", flat=True))
    for start in range(0, len(schemas), ASKED_AT_ONCE):
        some = schemas[start : start + ASKED_AT_ONCE]
        counts = _counts(some)
        yield from (schema for schema in some if counts.get(schema, 0) < expected)


def _counts(schemas: Sequence[str]) -> dict[str, int]:
    """How many migrations each schema has; nothing for those without books."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename = 'django_migrations' AND schemaname = ANY (%s)",
            [list(schemas)],
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


def _migrate_all(schemas: Sequence[str], processes: int) -> list[str]:
    """Why each could not be migrated; blank where it could."""
    if len(schemas) <= FEW or processes == 1:
        return [_migrate(schema) for schema in schemas]
    connections.close_all()  # a connection serves one process
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(_migrate, schemas, chunksize=4))


def _migrate(schema: str) -> str:
    try:
        call_command("migrate_schemas", schema_name=schema, verbosity=0, interactive=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, the next one is none the worse
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"{schema}: {lines[0]}"
    return ""
