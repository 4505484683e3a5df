"""Logs: files that processes write, one JetStream stream that readers read, and the follower between them.

A file's place says what it is: `<namespace>/<service id>/<run|build>/<id>.log`. A file is followed at least once: its
offset is kept beside it, and messages carry an id by which the stream drops what it has seen. While NATS is away the
lines stay in the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
from django.conf import settings
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy, DiscardPolicy, StreamConfig

from micro.errors import Unavailable

from . import credentials, folders, paths

STREAM = "logs"
KINDS = ("run", "build")
LARGEST_MESSAGE_BYTES = 16 << 10  # a message holds lines; each is synced to disk, so one a line would be slow
LARGEST_BATCH_BYTES = 256 << 10
LARGEST_FILE_BYTES = 16 << 20  # then it is emptied, once all of it is published
LOOK_EVERY_S, LIST_EVERY_S = 0.1, 0.5
ANSWER_S = 5.0

_LIMITS = StreamConfig(
    name=STREAM,
    subjects=[f"{STREAM}.>"],
    max_age=timedelta(days=7).total_seconds(),
    max_bytes=1 << 30,
    max_msgs_per_subject=2000,
    discard=DiscardPolicy.OLD,
    duplicate_window=120,
)

# Colours and other sequences of terminals, then any single character that is neither text nor a tab.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)

logger = logging.getLogger(__name__)


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


def subject(namespace: str, service_id: UUID | str, kind: str) -> str:
    """Where the lines of a service are published. Names of namespaces hold no dots, and ids hold none either."""
    return f"{STREAM}.{namespace}.{service_id}.{kind}"


async def connect() -> nats.NATS:
    """A connection to NATS that ends when it breaks. Raises Unavailable when there is none to be had now."""
    client = nats.NATS()
    try:
        # Without its own limits the client tries for minutes before it says that nobody is there.
        await client.connect(
            settings.NATS_URL,
            connect_timeout=2,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0.1,
            error_cb=_note,
        )
    except (NatsError, OSError, TimeoutError) as error:
        raise Unavailable(f"The log store is away: {error}.") from None
    except asyncio.CancelledError:
        await client.close()  # its own tasks would keep the connection for ever
        raise
    return client


async def _note(error: Exception) -> None:
    logger.debug("nats: %s", error)


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
    origin = str(of) if of else ""
    connection = await connect()
    try:
        jetstream = connection.jetstream(timeout=ANSWER_S)
        await _require_stream(jetstream)
        policy = DeliverPolicy.BY_START_TIME if since else DeliverPolicy.ALL
        config = ConsumerConfig(deliver_policy=policy, opt_start_time=since.isoformat() if since else None)
        feed = await jetstream.subscribe(subject(namespace, service_id, kind), ordered_consumer=True, config=config)
        counts = await feed.consumer_info()
        waiting = (counts.num_pending or 0) + (counts.delivered.consumer_seq if counts.delivered else 0)
        async for line in _last(feed, waiting, count, origin):
            yield line
        while follow:
            with contextlib.suppress(asyncio.TimeoutError, nats.errors.TimeoutError):
                for line in _lines(await feed.next_msg(timeout=60), origin):
                    yield line
    except NatsError as error:
        raise Unavailable(f"The log store is away: {error}.") from None
    finally:
        await connection.close()


async def _last(feed: Any, waiting: int, count: int, origin: str) -> AsyncIterator[Line]:
    kept: deque[Line] = deque(maxlen=max(count, 0))
    for _ in range(waiting):
        try:
            message = await feed.next_msg(timeout=ANSWER_S)
        except nats.errors.TimeoutError:
            break  # some of them have aged out since they were counted
        kept.extend(_lines(message, origin))
        if message.metadata.num_pending == 0:
            break
    for line in kept:
        yield line


def _lines(message: Any, origin: str) -> Iterator[Line]:
    """The lines of a message; none when it comes from a file of another deployment than `origin`."""
    whose = (message.headers or {}).get("Nats-Msg-Id", "").partition(":")[0]
    if not whose.startswith(origin):
        return
    at = message.metadata.timestamp
    for text in message.data.decode(errors="replace").split("\n"):
        yield Line(text.rstrip("\r"), at, whose)


async def _require_stream(jetstream: Any) -> None:
    try:
        await jetstream.add_stream(_LIMITS)
    except nats.js.errors.BadRequestError:
        await jetstream.update_stream(_LIMITS)


def purge(namespace: str, service_id: UUID) -> None:
    """Remove everything that a service ever printed. Raises Unavailable when the log store is away."""
    asyncio.run(_purge(namespace, service_id))


async def _purge(namespace: str, service_id: UUID) -> None:
    connection = await connect()
    try:
        jetstream = connection.jetstream(timeout=ANSWER_S)
        await _require_stream(jetstream)
        await jetstream.purge_stream(STREAM, subject=subject(namespace, service_id, "*"))
    except NatsError as error:
        raise Unavailable(f"The log store is away: {error}.") from None
    finally:
        await connection.close()


@dataclass(slots=True)
class _File:
    """A log file under way to the stream."""

    path: Path
    offset: int = 0
    emptied: int = 0  # bytes that were in it before it was emptied
    secret: bytes = b""

    @classmethod
    def open(cls, path: Path) -> _File:
        offset, emptied = 0, 0
        with contextlib.suppress(FileNotFoundError, ValueError):
            offset, emptied = map(int, path.with_suffix(".offset").read_text().split())
        return cls(path, offset, emptied, _secret(path))

    @property
    def subject(self) -> str:
        namespace, service_id, kind = self.path.parts[-4:-1]
        return subject(namespace, service_id, kind)

    @property
    def is_done(self) -> bool:
        """Whether nothing more will be written to it."""
        return self.path.with_suffix(".done").exists()

    def pending(self) -> bytes:
        """What is ready to be published: whole lines, and the rest when it is overlong or nothing more comes."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            if size < self.offset:  # somebody emptied it
                self.emptied, self.offset = self.emptied + self.offset, 0
            file.seek(self.offset)
            content = file.read(LARGEST_BATCH_BYTES)
        end = content.rfind(b"\n") + 1
        if end == 0 and (len(content) >= LARGEST_MESSAGE_BYTES or self.is_done):
            end = len(content)
        return content[:end]

    def batches(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """What to publish, some lines to a message, with how many bytes there were by its end, ever.

        The release's secret is blotted out, and so are paths of this server.
        """
        clean = content.replace(self.secret, b"*" * len(self.secret)) if self.secret else content
        clean = paths.shown_bytes(clean)
        start = 0
        while start < len(clean):
            limit = start + LARGEST_MESSAGE_BYTES
            end = len(clean) if limit >= len(clean) else clean.rfind(b"\n", start, limit) + 1
            end = end if end > start else limit
            yield self.emptied + self.offset + end, clean[start:end].rstrip(b"\r\n")
            start = end

    def advance(self, length: int) -> None:
        """Note that so many bytes more are published."""
        self.offset += length
        unfinished = self.path.with_suffix(".new")
        unfinished.write_text(f"{self.offset} {self.emptied}")
        unfinished.rename(self.path.with_suffix(".offset"))

    def shrink(self) -> bool:
        """Empty a large file of which everything is published; its writers append, so they go on at its start."""
        if self.offset <= LARGEST_FILE_BYTES or self.path.stat().st_size != self.offset:
            return False
        with self.path.open("r+b") as file:
            file.truncate(0)
        self.emptied, self.offset = self.emptied + self.offset, 0
        self.advance(0)
        return True

    def remove(self) -> None:
        """Remove it and what was kept beside it."""
        for suffix in (".log", ".offset", ".new", ".done"):
            self.path.with_suffix(suffix).unlink(missing_ok=True)


def _secret(path: Path) -> bytes:
    """The secret that the writer of a log was given: a run log is named by the deployment it belongs to."""
    try:
        return credentials.secret(UUID(path.name.partition(".")[0])).encode()
    except ValueError:
        return b""


class Follower:
    """Publishes what is appended to the log files, from a thread of its own."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="logs", daemon=True)
        self._files: dict[Path, _File] = {}
        self._sizes: dict[Path, int] = {}
        self._list_at = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is not published yet stays in the files."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._follow()
            except (Unavailable, NatsError, OSError) as error:
                logger.warning("logs wait for the log store: %s", error)
                await asyncio.sleep(1)
            except Exception:
                logger.exception("following logs stumbled; it goes on in a second")
                await asyncio.sleep(1)

    async def _follow(self) -> None:
        connection = await connect()
        try:
            jetstream = connection.jetstream(timeout=ANSWER_S)
            await _require_stream(jetstream)
            while not self._stopping.is_set():
                await self.publish(jetstream)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            with contextlib.suppress(NatsError):
                await connection.close()

    async def publish(self, jetstream: Any) -> None:
        """Publish what is new in every file; remove the files of which nothing more comes."""
        self._list()
        for path, file in list(self._files.items()):
            try:
                await self._publish_file(jetstream, file)
            except FileNotFoundError:
                self._drop(path)

    def _list(self) -> None:
        if time.monotonic() < self._list_at:
            return
        self._list_at = time.monotonic() + LIST_EVERY_S
        for path in folders.logs().glob("*/*/*/*.log"):
            if path not in self._files:
                self._files[path] = _File.open(path)

    async def _publish_file(self, jetstream: Any, file: _File) -> None:
        size = file.path.stat().st_size
        is_done = file.is_done
        if size == self._sizes.get(file.path) and not is_done:
            return
        while content := file.pending():
            await _publish_lines(jetstream, file, content)
            file.advance(len(content))
        self._sizes[file.path] = 0 if file.shrink() else size
        if is_done and file.offset >= file.path.stat().st_size:
            file.remove()
            self._drop(file.path)

    def _drop(self, path: Path) -> None:
        self._files.pop(path, None)
        self._sizes.pop(path, None)


async def _publish_lines(jetstream: Any, file: _File, content: bytes) -> None:
    """Publish in order, many under way at once; all are acknowledged when it returns."""
    acknowledgements = [
        await jetstream.publish_async(file.subject, text, headers={"Nats-Msg-Id": f"{file.path.stem}:{position}"})
        for position, text in file.batches(content)
    ]
    for acknowledgement in acknowledgements:
        await asyncio.wait_for(acknowledgement, ANSWER_S)
