"""Threads for what cannot run on the loop, shared so that nobody's calls take all of them.

What hashes a secret has threads of its own: that takes a tenth of a second each time, and a login waits for nothing
else that is asked for, nor anything else for logins.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

from django.db import connections

Result = TypeVar("Result")

EACH = 3  # at a time, of the loop's own: five or more
HASHING = ThreadPoolExecutor(4, thread_name_prefix="hashing")

whose: ContextVar[str] = ContextVar("whose", default="")  # on whose behalf the loop works; blank: the platform's own
hashes: ContextVar[bool] = ContextVar("hashes", default=False)  # whether what is done proves or makes a secret


async def run(call: Callable[[], Result]) -> Result:
    """What `call` returns, in a thread."""
    is_hashing = hashes.get()
    async with _turn(f"{'hashing' if is_hashing else 'other'} {whose.get()}" if whose.get() else ""):
        if not is_hashing:
            return await asyncio.to_thread(call)
        inside = partial(contextvars.copy_context().run, _closing, call)
        return await asyncio.get_running_loop().run_in_executor(HASHING, inside)


def _closing(call: Callable[[], Result]) -> Result:
    """These threads are for ever: no connection stays with them."""
    try:
        return call()
    finally:
        connections.close_all()


class _Turns:
    """Who waits for a thread of their own share."""

    def __init__(self) -> None:
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, who: str) -> AsyncIterator[None]:
        self._users[who] += 1
        try:
            async with self._gates.setdefault(who, asyncio.Semaphore(EACH)):
                yield
        finally:
            self._users[who] -= 1
            if not self._users[who]:
                del self._users[who], self._gates[who]


@asynccontextmanager
async def _turn(who: str) -> AsyncIterator[None]:
    if not who:
        yield
        return
    loop = asyncio.get_running_loop()
    async with _of_loops.setdefault(loop, _Turns()).of(who):
        yield


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()
