"""Word of changes from the database, for readers that keep a copy in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import sql

HEARTBEAT = timedelta(seconds=10)  # a reader looks again at least this often
PAUSE_S = 1.0  # before a second try to connect

log = logging.getLogger(__name__)


async def changes(dsn: str, *channels: str) -> AsyncIterator[None]:
    """Yields at once, after every NOTIFY on a channel (several may be one), and every 10 s; outlives the database."""
    is_lost = False
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as listener:
                for channel in channels:
                    await listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                is_lost = False
                while True:
                    yield
                    await _drain(listener.notifies(timeout=HEARTBEAT.total_seconds(), stop_after=1))
                    await _drain(listener.notifies(timeout=0))
        except psycopg.OperationalError as error:
            if not is_lost:
                names = ", ".join(channels)
                log.warning("word of %s stopped, trying again every second: %s", names, str(error).strip())
            is_lost = True
            await asyncio.sleep(PAUSE_S)


async def _drain(notifications: AsyncIterator[Any]) -> None:
    async for _ in notifications:
        pass
