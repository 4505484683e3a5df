"""Server-sent events: how many of them one account may follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from micro.errors import ResourceExhausted
from transport import events
from transport.callers import Account
from transport.events import Event, event_stream

JOE, EVE = (Account(id=name, type="user", issuer="shop", name=name, scopes=()) for name in ("joe", "eve"))


async def line() -> AsyncGenerator[Event, None]:
    yield Event("line", {"text": "hello"})


class Follower:
    """Reads a stream that never ends, until it leaves as a client does whose connection is gone."""

    def __init__(self, reader: Account) -> None:
        self.has_begun = asyncio.Event()
        self._stream = event_stream(self._events(), id="x", reader=reader)
        self._task = asyncio.create_task(self._read())

    async def _events(self) -> AsyncGenerator[Event, None]:
        self.has_begun.set()
        await asyncio.Event().wait()
        yield Event("never", {})

    async def _read(self) -> None:
        async for _ in self._stream.streaming_content:
            pass

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_an_account_follows_so_many_streams_and_another_one_once_one_is_closed(monkeypatch):
    monkeypatch.setattr(events, "MOST_STREAMS", 2)
    event_stream(line(), id="head", reader=JOE)  # nobody reads it: it counts for nothing
    followers = [Follower(JOE), Follower(JOE)]
    for follower in followers:
        await follower.has_begun.wait()
    with pytest.raises(ResourceExhausted, match=r"You follow 2 logs already, which is the most: close one first\."):
        Follower(JOE)
    assert event_stream(line(), id="x", reader=EVE).status_code == 200
    await followers[0].leave()
    assert event_stream(line(), id="x", reader=JOE).status_code == 200
    await followers[1].leave()


async def test_a_stream_that_ends_by_itself_counts_no_longer(monkeypatch):
    monkeypatch.setattr(events, "MOST_STREAMS", 1)
    for _ in range(3):
        said = [some async for some in event_stream(line(), id="x", reader=JOE).streaming_content]
        assert said == [b": connected\n\n", b'event: line\ndata: {"text": "hello"}\n\n']
