"""Reading logs: the last lines from disk, and what comes from one subscription that all readers of a log share."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from micro.errors import Unavailable
from transport import bus
from transport.bus import Bus, NoResponder
from transport.database import PerLoop

from . import logstreams

KINDS = ("run", "build")
MOST_LINES = 10_000
MOST_BYTES = 4 << 20  # of the lines that a reader begins with
BATCH, BATCH_BYTES = 64, 1 << 20
KEPT_IN_MEMORY = 64  # messages for each reader; what comes while these wait is read from disk
READ_AT_ONCE = 4  # by one process, from disk

# Colours and other sequences of terminals, then any single character that is neither text nor a tab.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log, when it was published, and whose it is: `<deployment id>`, for a run `.<replica id>` too."""

    text: str
    at: datetime
    origin: str = ""

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {"at": self.at.isoformat(), "text": self.text}


def plain(text: str) -> str:
    """A line as it reads without a terminal: no colours, and of a progress bar how it ended."""
    return _CONTROL.sub("", text.rstrip("\r").rpartition("\r")[2])


async def read(  # noqa: PLR0913 - whose log, and which part of it
    *,
    namespace: str,
    service_id: UUID,
    kind: str,
    count: int,
    since: datetime | None = None,
    follow: bool = False,
    of: UUID | None = None,
) -> AsyncGenerator[Line, None]:
    """The last `count` lines, oldest first; with `follow` then each new one, until the reader leaves.

    With `of` only what belongs to that deployment. Raises Unavailable when the log store is away.
    """
    log = _Log(
        stream=logstreams.stream(namespace),
        subject=logstreams.subject(namespace, service_id, kind),
        since=since,
        origin=str(of) if of else "",
    )
    count = min(max(count, 0), MOST_LINES)
    try:
        if not follow:
            for line in await log.last(count):
                yield line
            return
        reader = _Reader(log)
        async for line in reader.lines(logstreams.live(namespace, service_id, kind), count):
            yield line
    except Unavailable:
        raise Unavailable("The log store is away; try again.") from None


@dataclass(slots=True)
class _Log:
    """A log on disk. `position` is the sequence of the last message that was read."""

    stream: str
    subject: str
    since: datetime | None = None
    origin: str = ""
    position: int = 0
    _bus: Bus = field(default_factory=bus.get)

    async def last(self, count: int) -> list[Line]:
        """The last lines, no more than a reader can be given at once."""
        kept: deque[Line] = deque(maxlen=count)
        size = 0
        async with _turns.get().turns:
            async for message in self._messages(await self._start(count)):
                for line in self.lines(message):
                    size += len(line.text) - (len(kept[0].text) if count and len(kept) == count else 0)
                    kept.append(line)
                while size > MOST_BYTES and kept:
                    size -= len(kept.popleft().text)
        return list(kept)

    async def rest(self) -> AsyncGenerator[Line, None]:
        """What comes after what was read."""
        async for message in self._messages({"seq": self.position + 1}):
            for line in self.lines(message):
                yield line

    def lines(self, message: Any) -> Iterator[Line]:
        """The lines of a message; none when it comes from a file of another deployment than `origin`."""
        headers = message.headers or {}
        whose = headers.get("Nats-Msg-Id", "").partition(":")[0]
        if not whose.startswith(self.origin):
            return
        at = _moment(headers)
        for text in message.data.decode(errors="replace").split("\n"):
            yield Line(text.rstrip("\r"), at, whose)

    async def _messages(self, start: dict[str, Any]) -> AsyncGenerator[Any, None]:
        is_more = True
        while is_more:
            found, left = await self._get(start, BATCH)
            for message in found:
                self.position = sequence(message)
                yield message
            start, is_more = {"seq": self.position + 1}, bool(found) and left > 0

    async def _start(self, count: int) -> dict[str, Any]:
        """From where to read so that `count` messages or a few more come: each holds a line at least."""
        if self.since:
            return {"start_time": self.since.astimezone(UTC).isoformat()}
        first, following = await self._get({"seq": 1}, 1)
        if not first or following < count or self.origin:
            return {"seq": 1}
        (end,), _ = await self._get_last()
        low, high = sequence(first[0]), sequence(end) + 1
        while high - low > 1:
            middle = (low + high) // 2
            found, left = await self._get({"seq": middle}, 1)
            if found and left + 1 >= count:
                low = middle
            else:
                high = middle
        return {"seq": low}

    async def _get(self, start: dict[str, Any], batch: int) -> tuple[list[Any], int]:
        wanted = {"next_by_subj": self.subject, "batch": batch, "max_bytes": BATCH_BYTES, **start}
        try:
            return await self._bus.stored(self.stream, wanted)
        except NoResponder:  # nothing was ever printed in the namespace
            return [], 0

    async def _get_last(self) -> tuple[list[Any], int]:
        return await self._bus.stored(self.stream, {"multi_last": [self.subject]})


class _Reader:
    """Who follows a log: hears of what comes, and reads from disk what it was too slow to hear."""

    def __init__(self, log: _Log) -> None:
        self._log, self._bus = log, bus.get()
        self._heard: deque[Any] = deque()
        self._is_behind = False
        self._failure: Unavailable | None = None
        self._wake = asyncio.Event()

    async def lines(self, subject: str, count: int) -> AsyncGenerator[Line, None]:
        """The last `count` lines, then each that comes."""
        self._bus.on_back.add(self._fall_behind)
        self._bus.on_away.add(self._fail)
        try:
            async with self._bus.listen(subject, self._hear):
                for line in await self._log.last(count):
                    yield line
                while True:
                    async for line in self._new():
                        yield line
                    await self._wait()
        finally:
            self._bus.on_back.discard(self._fall_behind)
            self._bus.on_away.discard(self._fail)

    async def _new(self) -> AsyncGenerator[Line, None]:
        while self._heard or self._is_behind:
            if self._heard:
                message = self._heard.popleft()
                if sequence(message) > self._log.position:
                    self._log.position = sequence(message)
                    for line in self._log.lines(message):
                        yield line
            else:
                self._is_behind = False
                async for line in self._log.rest():
                    yield line

    def _hear(self, message: Any) -> None:
        if not self._is_behind:
            self._is_behind = len(self._heard) >= KEPT_IN_MEMORY
            if not self._is_behind:
                self._heard.append(message)
        self._wake.set()

    def _fall_behind(self) -> None:
        self._is_behind = True
        self._wake.set()

    def _fail(self, failure: Unavailable) -> None:
        self._failure = failure
        self._wake.set()

    async def _wait(self) -> None:
        await self._wake.wait()
        self._wake.clear()
        if self._failure is not None:
            raise self._failure


class _Turns:
    """Few at a time read from disk, however many come at once: each holds what it has read in memory."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(READ_AT_ONCE)

    async def close(self) -> None:
        """There is nothing to close."""


def sequence(message: Any) -> int:
    """Where in its stream a message is."""
    return int((message.headers or {})["Nats-Sequence"])


def _moment(headers: dict[str, str]) -> datetime:
    """When a message was published."""
    return datetime.fromisoformat(headers.get(logstreams.PUBLISHED_AT) or headers["Nats-Time-Stamp"])


_turns: PerLoop[_Turns] = PerLoop(_Turns)
