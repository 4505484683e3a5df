"""Calls that wait for the database at the same time, answered by one round trip.

While a batch is under way, what arrives waits and becomes the next one: alone, a call goes out at once; under load many
share a statement and a commit. A batch may mix namespaces, so its work must carry each item's namespace in the SQL.
"""

from __future__ import annotations

import asyncio
import logging
import select
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import psycopg

from micro.errors import Error, Unavailable

from . import database
from .database import Connection, PerLoop

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Result | Error]]]

MOST_ITEMS = 128
MOST_BYTES = 16 * 1024 * 1024
LONGEST_S = 15.0
LONGEST_GATHERING_S = 0.003
# Statements of lanes find single rows by their keys; a plan must not change with what the statistics happen to say.
BY_KEY = (
    "-c plan_cache_mode=force_generic_plan -c jit=off"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)


class Batcher(Generic[Item, Result]):
    """Gives items to `work` in batches, in the order in which they came for each `lane_of`.

    `work` returns an outcome for every item, in order: a result, or the Error that its caller gets. It is one
    transaction: when it raises, nothing of it has happened, or nobody can tell (the database went away).
    """

    def __init__(
        self,
        work: Work[Item, Result],
        *,
        lane_of: Callable[[Item], str],
        weigh: Callable[[Item], int] = lambda _item: 0,
        lanes: int = 2,
    ) -> None:
        self._lane_of = lane_of
        self._lanes: PerLoop[_Lanes[Item, Result]] = PerLoop(lambda: _Lanes(work, weigh, lanes))

    async def __call__(self, item: Item) -> Result:
        """The outcome for `item`; raises its Error, or Unavailable when the database is away."""
        return await self._lanes.get().pick(self._lane_of(item)).put(item)


class _Lanes(Generic[Item, Result]):
    def __init__(self, work: Work[Item, Result], weigh: Callable[[Item], int], count: int) -> None:
        self._lanes = [_Lane(work, weigh) for _ in range(count)]

    def pick(self, key: str) -> _Lane[Item, Result]:
        return self._lanes[hash(key) % len(self._lanes)]

    async def close(self) -> None:
        for lane in self._lanes:
            await lane.close()


class _Lane(Generic[Item, Result]):
    """One connection, one batch at a time."""

    def __init__(self, work: Work[Item, Result], weigh: Callable[[Item], int]) -> None:
        self._work, self._weigh = work, weigh
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    async def put(self, item: Item) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await future

    async def close(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        await self._hang_up()

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                await self._answer(self._next_batch())
        finally:
            self._runner = None

    async def _gather(self) -> None:
        """Let what the loop has already received get here: under load a batch costs more than the wait."""
        until, quiet_turns = time.monotonic() + LONGEST_GATHERING_S, 0
        while quiet_turns < 2 and len(self._waiting) < MOST_ITEMS and time.monotonic() < until:
            before = len(self._waiting)
            await asyncio.sleep(0)
            quiet_turns = quiet_turns + 1 if len(self._waiting) == before else 0

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch = [self._waiting.popleft()]
        weight = self._weigh(batch[0][0])
        while self._waiting and len(batch) < MOST_ITEMS:
            weight += self._weigh(self._waiting[0][0])
            if weight > MOST_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _answer(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            outcomes = await self._attempt([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - every caller of the batch must hear of it
            await self._share_failure(batch, error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            _resolve(future, outcome)

    async def _attempt(self, items: Sequence[Item]) -> Sequence[Result | Error]:
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._work(await self._connected(), items)
        except BaseException:
            await self._hang_up()
            raise

    async def _share_failure(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
        """When it may be the fault of one item, the others must not suffer for it: each is tried alone."""
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError)):
            logger.warning("the database is away: %s", str(error).strip() or type(error).__name__)
            for _, future in batch:
                _resolve(future, Unavailable("The database is away; try again."))
        elif len(batch) == 1:
            _resolve(batch[0][1], error)
        else:
            for single in batch:
                await self._answer([single])

    async def _connected(self) -> Connection:
        if self._connection is not None and _was_hung_up(self._connection):
            await self._hang_up()
        if self._connection is None:
            self._connection = await database.connect(BY_KEY)
        return self._connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _resolve(future: asyncio.Future[Result], outcome: Result | Exception) -> None:
    if future.done():  # its caller has left
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _was_hung_up(connection: Connection) -> bool:
    """Nobody speaks on an idle connection but a server that leaves: then it must not be used for a write."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
