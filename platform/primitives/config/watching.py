"""Waking those who watch a namespace: one listening connection for each event loop, however many watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from transport import database
from transport.database import PerLoop

from .operations import CHANNEL

RETRY_S = 0.5

logger = logging.getLogger(__name__)


class Bells:
    """An event for each watcher; those of a namespace are set after every change of its tree."""

    def __init__(self) -> None:
        self._bells: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    @contextmanager
    def hung(self, namespace: str) -> Iterator[asyncio.Event]:
        """A bell that rings while the block runs: after every change, when one may have been missed, or for nothing."""
        bell = asyncio.Event()
        self._bells.setdefault(namespace, set()).add(bell)
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())
        try:
            yield bell
        finally:
            self._take_down(namespace, bell)

    async def close(self) -> None:
        """Listen no longer."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
            self._listener = None

    def _take_down(self, namespace: str, bell: asyncio.Event) -> None:
        self._bells[namespace].discard(bell)
        if not self._bells[namespace]:
            del self._bells[namespace]
        if not self._bells and self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def _ring(self, namespace: str) -> None:
        for bell in self._bells.get(namespace, ()):
            bell.set()

    async def _listen(self) -> None:
        while True:
            try:
                async with await database.connect() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    for namespace in self._bells:  # what happened while nobody listened
                        self._ring(namespace)
                    async for notice in connection.notifies():
                        self._ring(notice.payload)
            except (psycopg.Error, OSError) as error:
                logger.warning("changes of config are not heard for now: %s", str(error).strip())
            await asyncio.sleep(RETRY_S)


bells: PerLoop[Bells] = PerLoop(Bells)
