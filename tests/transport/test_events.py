"""Server-sent events: how many of them one account may follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from django.conf import settings

from micro.errors import ResourceExhausted
from transport import events
from transport.callers import Account
from transport.events import Event, event_stream

ZOE = Account(id="zoe", type="user", issuer="zoo", name="zoe", scopes=())
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


@pytest.fixture(autouse=True)
def plans(monkeypatch):
    """No namespace has a plan of its own."""
    monkeypatch.setitem(events.limit_of, "streams", lambda _namespace: settings.MICRO_DEFAULT_STREAMS)


async def test_an_account_follows_so_many_streams_and_another_one_once_one_is_closed(settings):
    settings.MICRO_STREAMS_PER_ACCOUNT = 2
    event_stream(line(), id="head", reader=JOE)  # nobody reads it: it counts for nothing
    followers = [Follower(JOE), Follower(JOE)]
    for follower in followers:
        await follower.has_begun.wait()
    with pytest.raises(ResourceExhausted, match=r"^Account 'joe' may have 2 streams open at a time; end one first\.$"):
        Follower(JOE)
    assert event_stream(line(), id="x", reader=EVE).status_code == 200
    await followers[0].leave()
    assert event_stream(line(), id="x", reader=JOE).status_code == 200
    await followers[1].leave()


async def test_the_accounts_of_a_namespace_share_its_streams_and_another_namespace_has_its_own(settings):
    settings.MICRO_DEFAULT_STREAMS = 1
    follower = Follower(JOE)
    await follower.has_begun.wait()
    with pytest.raises(
        ResourceExhausted, match=r"^Namespace 'shop' may have 1 streams open at a time; end one first\.$"
    ):
        Follower(EVE)
    assert event_stream(line(), id="x", reader=ZOE).status_code == 200
    await follower.leave()


async def test_streams_that_were_asked_for_at_once_do_not_exceed_the_limit(settings):
    settings.MICRO_STREAMS_PER_ACCOUNT = 1
    first, second = (event_stream(line(), id="x", reader=JOE) for _ in range(2))
    reading = aiter(first.streaming_content)
    assert [await anext(reading) for _ in range(2)][-1].startswith(b"event: line")
    said = [some async for some in second.streaming_content]
    assert b"may have 1 streams open" in said[-1]
    await reading.aclose()


async def test_a_stream_that_ends_by_itself_counts_no_longer(settings):
    settings.MICRO_STREAMS_PER_ACCOUNT = 1
    for _ in range(3):
        said = [some async for some in event_stream(line(), id="x", reader=JOE).streaming_content]
        assert said == [b": connected\n\n", b'event: line\ndata: {"text": "hello"}\n\n']
