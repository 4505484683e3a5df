"""Claims about bringing the schemas of many namespaces to this version."""

from __future__ import annotations

import pytest
from django.db import connection
from psycopg import sql

from project.server import schemas
from project.server.errors import CannotRun
from tenants.operations import create_namespace

LAST = ("micro_events", "0001_initial", "micro_events_deadletter")


@pytest.fixture
def many(transactional_db) -> list[str]:
    """Schemas of more namespaces than are few."""
    return sorted(create_namespace(slug=f"n{number}").schema_name for number in range(schemas.FEW + 2))


def set_back(*names: str) -> None:
    """Undo a migration there, as if it were newer than the schema."""
    app, migration, table = LAST
    with connection.cursor() as cursor:
        for name in names:
            schema = sql.Identifier(name)
            cursor.execute(sql.SQL("DROP TABLE {}.{}").format(schema, sql.Identifier(table)))
            cursor.execute(
                sql.SQL("DELETE FROM {}.django_migrations WHERE app = %s AND name = %s").format(schema),
                [app, migration],
            )


def has_table(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{name}.{LAST[2]}"])
        return bool(cursor.fetchone()[0])


def test_only_schemas_that_are_behind_are_migrated(many):
    assert list(schemas.behind()) == []
    set_back(*many[::2])
    assert list(schemas.behind()) == many[::2]
    assert schemas.migrate(processes=1) == len(many[::2])
    assert list(schemas.behind()) == []
    assert all(map(has_table, many))
    assert schemas.migrate(processes=1) == 0


def test_several_processes_do_the_same(many):
    set_back(*many)
    assert schemas.migrate(processes=2) == len(many)
    assert list(schemas.behind()) == []
    assert all(map(has_table, many))


def test_one_that_cannot_be_migrated_holds_up_no_other_and_the_next_run_does_only_it(many):
    set_back(*many)
    broken = many[3]
    with connection.cursor() as cursor:
        table = sql.SQL("{}.{}").format(sql.Identifier(broken), sql.Identifier(LAST[2]))
        cursor.execute(sql.SQL("CREATE TABLE {} ()").format(table))
    with pytest.raises(CannotRun, match=f"1 of {len(many)} namespaces could not be migrated .{broken}: "):
        schemas.migrate(processes=2)
    assert list(schemas.behind()) == [broken]
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP TABLE {}").format(table))
    assert schemas.migrate() == 1
    assert has_table(broken)
