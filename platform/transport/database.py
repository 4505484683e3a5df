"""Postgres on the event loop: psycopg, no ORM, no thread, no search path. Every statement names its own namespace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection as django_connection
from django.db import connections
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow, namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

Connection = psycopg.AsyncConnection[TupleRow]

POOL_SIZE = 8
PATIENCE_S = 2.0  # for a free connection, then the caller gets Unavailable
RECONNECT_S = 0.5  # then the pool gives up, and the next request tries anew at once instead of waiting for a back-off
CONNECT_TIMEOUT_S = 2
LIMITS = "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s"


def dsn() -> str:
    """How psycopg reaches the database that Django uses."""
    settings = django_connection.settings_dict
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


class Closable(Protocol):
    async def close(self) -> None: ...


Thing = TypeVar("Thing", bound=Closable)


class PerLoop(Generic[Thing]):
    """One `make()` for each event loop that asks; what it made belongs to that loop."""

    _all: list[PerLoop[Any]] = []

    def __init__(self, make: Callable[[], Thing]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, Thing] = WeakKeyDictionary()
        self._all.append(self)

    def get(self) -> Thing:
        """The running loop's own."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            made = self._made[loop] = self._make()
        return made

    async def _close(self) -> None:
        made = self._made.pop(asyncio.get_running_loop(), None)
        if made is not None:
            await made.close()


def conninfo(options: str = "") -> str:
    """How to reach the database that Django uses, with further settings of the session in `options`."""
    parts = connections["default"].settings_dict
    return make_conninfo(
        dbname=parts["NAME"],
        user=parts["USER"] or None,
        password=parts["PASSWORD"] or None,
        host=parts["HOST"] or None,
        port=parts["PORT"] or None,
        connect_timeout=CONNECT_TIMEOUT_S,
        options=f"{LIMITS} {options}".strip(),
    )


async def connect(options: str = "") -> Connection:
    """A connection of one's own, in autocommit. Prepares every statement at once."""
    return await psycopg.AsyncConnection.connect(conninfo(options), autocommit=True, prepare_threshold=0)


@asynccontextmanager
async def connection() -> AsyncIterator[Connection]:
    """A connection of this loop's pool, in autocommit, checked before it is lent.

    Raises PoolTimeout (which the edge calls Unavailable) within 2 s when there is none.
    """
    pool = _pool.get()
    await pool.open()
    async with pool.connection() as lent:
        yield lent


async def close() -> None:
    """Close what the running loop has opened."""
    for per_loop in PerLoop._all:
        await per_loop._close()


def _make_pool() -> AsyncConnectionPool[Connection]:
    # A pool that gives up on a connection soon tries again with the next caller, instead of ever more rarely.
    return AsyncConnectionPool(
        conninfo(),
        min_size=0,
        max_size=POOL_SIZE,
        timeout=1.5,
        reconnect_timeout=1,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs={"autocommit": True, "prepare_threshold": None},
    )


_pool: PerLoop[AsyncConnectionPool[Connection]] = PerLoop(_make_pool)
