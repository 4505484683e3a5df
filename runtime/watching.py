"""A deployment as it goes on: the steps it takes and the lines of its build, in one stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import DatabaseError

from transport.events import stop
from transport.tenancy import in_public

from . import logs, turns
from .logs import Line
from .models import Deployment

LOOK_EVERY_S = 0.2
LOG_DELAY_S = 1.0  # after the end of a deployment, until its last line has surely been published


logger = logging.getLogger(__name__)


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
        await stop(*readers)


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
    async with _rows().watch(watched.id) as steps:
        while True:
            step = await steps.get()
            await asyncio.sleep(LOG_DELAY_S if step.is_final else 0)
            await found.put(step)
            if step.is_final:
                return


class Rows:
    """Looks at all deployments that somebody watches, in one query however many watch; at nothing when nobody does."""

    def __init__(self) -> None:
        self._watchers: dict[asyncio.Queue[Step], UUID] = {}
        self._told: dict[asyncio.Queue[Step], Step] = {}
        self._looking: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def watch(self, id: UUID) -> AsyncGenerator[asyncio.Queue[Step], None]:
        """The steps of a deployment from the one it is at; for a deployment that is gone, that it was superseded."""
        steps: asyncio.Queue[Step] = asyncio.Queue()
        self._watchers[steps] = id
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
        try:
            yield steps
        finally:
            del self._watchers[steps]
            self._told.pop(steps, None)
            if not self._watchers and self._looking:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        while True:
            try:
                self._tell(await in_public(_read_steps, set(self._watchers.values())))
            except DatabaseError as error:
                logger.warning("steps wait for the database: %s", str(error).strip())
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell(self, found: Mapping[UUID, Step]) -> None:
        for steps, id in self._watchers.items():
            if id not in found:  # it came while we looked
                continue
            if self._told.get(steps) != found[id]:
                self._told[steps] = found[id]
                steps.put_nowait(found[id])


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Rows] = WeakKeyDictionary()


def _rows() -> Rows:
    """The one that the running loop's streams share."""
    return _of_loops.setdefault(asyncio.get_running_loop(), Rows())


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
    return (await in_public(_read_steps, {watched.id}))[watched.id]


def _read_steps(ids: Collection[UUID]) -> dict[UUID, Step]:
    """The step of each; one that is gone was superseded."""
    rows = Deployment.objects.across_namespaces().filter(pk__in=ids).select_related("service__namespace")
    rows = rows.only("state", "reason", "created_at", "namespace_id", "service__namespace__slug")
    gone, queue = Step(Deployment.State.SUPERSEDED), turns.Queue()
    return dict.fromkeys(ids, gone) | {row.pk: Step(str(row.state), queue.reason(row)) for row in rows}
