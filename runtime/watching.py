"""A deployment as it goes on: the steps it takes and the lines of its build, in one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from transport.tenancy import in_public

from . import logs
from .logs import Line
from .models import Deployment

LOOK_EVERY_S = 0.5
LOG_DELAY_S = 1.0  # after the end of a deployment, until its last line has surely been published


@dataclass(frozen=True, slots=True)
class Step:
    """What a deployment is doing now, or how it ended."""

    state: str
    reason: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self.state in Deployment.FINAL


@dataclass(frozen=True, slots=True)
class Watched:
    """Which deployment, and since when it has a log."""

    id: UUID
    namespace: str
    service_id: UUID
    created_at: datetime


async def watch(watched: Watched, *, count: int, follow: bool) -> AsyncGenerator[Line | Step, None]:
    """The last `count` lines of its build, and the step it is at; with `follow` what comes, until it has ended.

    Raises Unavailable when the log store is away.
    """
    if not follow:
        async for line in _log(watched, count, follow=False):
            yield line
        yield await _step(watched)
        return
    found: asyncio.Queue[Line | Step] = asyncio.Queue(maxsize=1000)
    readers = [
        asyncio.ensure_future(_read_log(watched, count, found)),
        asyncio.ensure_future(_read_row(watched, found)),
    ]
    try:
        while True:
            item = await _next(found, readers)
            yield item
            if isinstance(item, Step) and item.is_final:
                return
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _next(found: asyncio.Queue[Line | Step], readers: Sequence[asyncio.Future[None]]) -> Line | Step:
    """The next item; raises what a reader raises."""
    coming = asyncio.ensure_future(found.get())
    try:
        waiting: list[asyncio.Future[Any]] = [coming, *readers]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for reader in readers:
            if reader.done():
                reader.result()
        return await coming
    finally:
        coming.cancel()


async def _read_log(watched: Watched, count: int, found: asyncio.Queue[Line | Step]) -> None:
    async for line in _log(watched, count, follow=True):
        await found.put(line)


async def _read_row(watched: Watched, found: asyncio.Queue[Line | Step]) -> None:
    seen = None
    while seen is None or not seen.is_final:
        step = await _step(watched)
        if step != seen:
            await asyncio.sleep(LOG_DELAY_S if step.is_final else 0)
            await found.put(step)
        else:
            await asyncio.sleep(LOOK_EVERY_S)
        seen = step


def _log(watched: Watched, count: int, *, follow: bool) -> AsyncGenerator[Line, None]:
    return logs.read(
        namespace=watched.namespace,
        service_id=watched.service_id,
        kind="build",
        count=count,
        since=watched.created_at,
        follow=follow,
        of=watched.id,
    )


async def _step(watched: Watched) -> Step:
    return await in_public(_read_step, watched)


def _read_step(watched: Watched) -> Step:
    rows = Deployment.objects.in_namespace(watched.namespace).filter(pk=watched.id)
    state, reason = rows.values_list("state", "reason").first() or (Deployment.State.SUPERSEDED, "")
    return Step(str(state), reason)
