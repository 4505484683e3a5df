from __future__ import annotations

import asyncio
import time

import psycopg
import pytest
from django.db import connections

from transport import database
from transport.database import Reader, dsn

pytestmark = pytest.mark.django_db


@pytest.fixture
async def reader():
    reader = Reader(dsn())
    await reader.open()
    yield reader
    await reader.close()


async def test_rows_have_names(reader):
    (row,) = await reader.rows("SELECT %(number)s::int AS answer, 'x' AS other", {"number": 42})
    assert (row.answer, row.other) == (42, "x")


async def test_connections_that_the_server_dropped_are_replaced_without_an_error(reader):
    await asyncio.gather(*(reader.rows("SELECT pg_sleep(0.05)", {}) for _ in range(database.POOL_SIZE)))
    async with await psycopg.AsyncConnection.connect(dsn(), autocommit=True) as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'"
        )
    for _ in range(database.POOL_SIZE):
        assert (await reader.rows("SELECT 1 AS one", {}))[0].one == 1


async def test_a_statement_that_is_wrong_is_not_tried_twice_and_harms_no_other(reader):
    with pytest.raises(psycopg.errors.UndefinedTable):
        await reader.rows("SELECT * FROM absent", {})
    assert (await reader.rows("SELECT 1 AS one", {}))[0].one == 1


async def test_a_database_that_is_away_is_said_so_in_seconds():
    reader = Reader("postgresql://micro@/micro?host=/nonexistent")
    await reader.open()
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        await reader.rows("SELECT 1", {})
    assert time.monotonic() - began < 2 * database.PATIENCE_S
    await reader.close()


async def test_the_statement_timeout_of_the_settings_holds_here_too(reader):
    (row,) = await reader.rows("SHOW statement_timeout", {})
    assert row.statement_timeout == "30s"
    assert connections["default"].settings_dict["NAME"] in dsn()
