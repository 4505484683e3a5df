"""Asynchronous twins of what is written once, for threads: the work runs in a thread, the loop goes on.

asyncio is imported by whoever awaits one: the command line imports the twins with the rest, and has no loop.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")
Given_co = TypeVar("Given_co", covariant=True)

_END = object()


class Stream(Protocol[Given_co]):
    """An iterator that another thread may end."""

    def __next__(self) -> Given_co: ...

    def close(self) -> None: ...


def call(function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """`function` as a coroutine."""

    @functools.wraps(function)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio

        return await asyncio.to_thread(function, *args, **kwargs)

    return twin


def iterate(function: Callable[P, Stream[Item]]) -> Callable[P, AsyncStream[Item]]:
    """`function`, whose result is read by `async for`."""

    @functools.wraps(function)
    def twin(*args: P.args, **kwargs: P.kwargs) -> AsyncStream[Item]:
        return AsyncStream(functools.partial(function, *args, **kwargs))

    return twin


class AsyncStream(Generic[Item]):
    """A stream that is read in a thread of its own. Leaving `async with`, or being cancelled, ends it."""

    def __init__(self, open_: Callable[[], Stream[Item]]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._open = open_
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="micro-stream")
        self._stream: Stream[Item] | None = None
        self._is_ended = False

    def __aiter__(self) -> AsyncStream[Item]:
        return self

    async def __anext__(self) -> Item:
        import asyncio

        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._next)
        except asyncio.CancelledError:
            self._end()
            raise
        if found is _END:
            raise StopAsyncIteration
        return cast("Item", found)

    async def __aenter__(self) -> AsyncStream[Item]:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it, whatever it waits for."""
        self._end()

    def _next(self) -> Any:
        if self._stream is None:
            self._stream = self._open()
        if self._is_ended:
            self._stream.close()
        try:
            return next(self._stream)
        except StopIteration:  # must not travel through a future
            return _END

    def _end(self) -> None:
        self._is_ended = True
        if self._stream is not None:
            self._stream.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
