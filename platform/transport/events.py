"""Server-sent events: an asynchronous generator of events as an HTTP response."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import StreamingHttpResponse

from .callers import Account
from .counting import Streams
from .failures import as_error
from .rest import EVENT_STREAM, problem

STOP_AGAIN_AFTER_S = 0.1
HEARTBEAT_S = 15.0  # by which proxies keep a silent stream open, and we notice that the reader is gone

open_streams = Streams()
# What a lower room needs to know from an upper one: how many streams a namespace may have. The upper one puts it here.
limit_of: dict[str, Callable[[str], int]] = {"streams": lambda _namespace: int(settings.MICRO_DEFAULT_STREAMS)}


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `data` becomes JSON."""

    name: str
    data: Mapping[str, Any]

    def encode(self) -> bytes:
        """The wire form."""
        return f"event: {self.name}\ndata: {json.dumps(self.data)}\n\n".encode()


def event_stream(events: AsyncGenerator[Event, None], *, id: str, reader: Account) -> StreamingHttpResponse:
    """The events as they come; what goes wrong after the start becomes a last event `problem`. `id` is for our log.

    Raises ResourceExhausted when the reader, or the reader's namespace, has as many streams open as it may.
    """
    most = limit_of["streams"](reader.issuer)
    open_streams.require_room(reader, most=most)
    response = StreamingHttpResponse(_encoded(_counted(events, reader, most), id), content_type=EVENT_STREAM)
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


async def _counted(events: AsyncGenerator[Event, None], reader: Account, most: int) -> AsyncGenerator[Event, None]:
    """Counted from its first byte on: a response that nobody reads (HEAD) never begins, nor does it end."""
    with open_streams.one_more(reader, most=most):
        async with aclosing(events):
            async for event in events:
                yield event


async def _encoded(events: AsyncGenerator[Event, None], id: str) -> AsyncGenerator[bytes, None]:
    yield b": connected\n\n"
    async with aclosing(events), aclosing(_with_heartbeats(events)) as beating:
        try:
            async for event in beating:
                yield event.encode() if event else b": still here\n\n"
        except Exception as exception:  # noqa: BLE001 - the edge: everything becomes an event here
            yield Event("problem", problem(as_error(exception, id))).encode()


async def _with_heartbeats(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event | None, None]:
    """The events, and None whenever there has been none for a while."""
    following = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait([following], timeout=HEARTBEAT_S)
            if not done:
                yield None
                continue
            event = following.result()
            if event is None:
                return
            yield event
            following = asyncio.ensure_future(anext(events, None))
    finally:
        await stop(following)


async def stop(*tasks: asyncio.Future[Any]) -> None:
    """Return when the tasks have ended. Told again and again: a library that waits with a limit can miss being told."""
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=STOP_AGAIN_AFTER_S)
