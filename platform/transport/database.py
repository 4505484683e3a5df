"""Reads on the event loop: psycopg's pool, no ORM, no search path. Every statement names its namespace itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

POOL_SIZE = 8
PATIENCE_S = 2.0  # for a free connection, then the caller gets Unavailable
RECONNECT_S = 0.5  # then the pool gives up, and the next request tries anew at once instead of waiting for a back-off


def dsn() -> str:
    """How psycopg reaches the database that Django uses."""
    settings = connection.settings_dict
    return make_conninfo(
        dbname=settings["NAME"],
        user=settings["USER"] or None,
        password=settings["PASSWORD"] or None,
        host=settings["HOST"] or None,
        port=settings["PORT"] or None,
        connect_timeout=5,
        options=settings.get("OPTIONS", {}).get("options"),
    )


class Reader:
    """A pool of connections that only read. Open it on the loop that uses it."""

    def __init__(self, conninfo: str) -> None:
        self._pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=POOL_SIZE,
            timeout=PATIENCE_S,
            reconnect_timeout=RECONNECT_S,
            open=False,
            kwargs={"autocommit": True, "row_factory": namedtuple_row},
        )

    async def open(self) -> None:
        """Connect in the background; the database may come later."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def rows(self, statement: str, parameters: Mapping[str, Any]) -> list[Any]:
        """The rows of a SELECT, as named tuples. Connections that have gone stale are replaced once."""
        try:
            return await self._rows(statement, parameters)
        except PoolTimeout:
            raise
        except (psycopg.OperationalError, psycopg.InterfaceError):
            await self._pool.check()
            return await self._rows(statement, parameters)

    async def _rows(self, statement: str, parameters: Mapping[str, Any]) -> list[Any]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            rows: list[Any] = await cursor.fetchall()
            return rows
