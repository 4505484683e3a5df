"""Log files that processes write, and the follower that publishes them.

A file's place says what it is: `<namespace>/<service id>/<run|build>/<id>.log`. A file is followed at least once: its
offset is kept beside it, and messages carry an id by which the stream drops what it has seen. While NATS is away the
lines stay in the files. Everybody's files take turns: who prints without end delays the lines of nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from nats.errors import Error as NatsError

from micro.errors import Unavailable

from . import credentials, folders, logstreams, paths
from .logstreams import ANSWER_S, Streams

LARGEST_MESSAGE_BYTES = 16 << 10  # a message holds lines; each is synced to disk, so one a line would be slow
LARGEST_BATCH_BYTES = 256 << 10
LARGEST_TURN_BYTES = 1 << 20  # of a namespace, before it is everybody else's turn
LARGEST_FILE_BYTES = 16 << 20  # then it is emptied, once all of it is published
LARGEST_BACKLOG_BYTES = 64 << 20  # of a file; what is printed faster than it can be published is lost
LOOK_EVERY_S, LIST_EVERY_S = 0.1, 0.5

logger = logging.getLogger(__name__)


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
        return logstreams.subject(namespace, service_id, kind)

    @property
    def namespace(self) -> str:
        return self.path.parts[-4]

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

    def give_up_backlog(self) -> bytes:
        """Empty a file whose writer is far ahead, so that it does not fill the disk; the words that say so."""
        backlog = self.path.stat().st_size - self.offset
        if backlog <= LARGEST_BACKLOG_BYTES:
            return b""
        with self.path.open("r+b") as file:
            file.truncate(0)
        self.emptied, self.offset = self.emptied + self.offset + backlog, 0
        self.advance(0)
        return b"(%d MiB are missing here: it printed faster than can be kept.)\n" % (backlog >> 20)

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
        connection = await logstreams.connect()
        try:
            jetstream = connection.jetstream(timeout=ANSWER_S)
            streams = Streams(jetstream)
            await streams.move()
            while not self._stopping.is_set():
                is_more = await self.publish(jetstream, streams)
                await asyncio.sleep(0 if is_more else LOOK_EVERY_S)
        finally:
            with contextlib.suppress(NatsError):
                await connection.close()

    async def publish(self, jetstream: Any, streams: Streams) -> bool:
        """Publish a batch of what is new in each file; whether there is more. Files of which nothing more comes go.

        A namespace that has had its turn waits until all others have had theirs; its files begin where they left off.
        """
        self._list()
        is_more, sent = False, Counter[str]()
        for path, file in list(self._files.items()):
            if sent[file.namespace] >= LARGEST_TURN_BYTES:
                is_more = True
                continue
            self._files[path] = self._files.pop(path)  # the last one in the next round
            try:
                length = await self._publish_batch(jetstream, streams, file)
            except FileNotFoundError:
                self._drop(path)
                continue
            sent[file.namespace] += length
            is_more = is_more or length > 0
        return is_more

    def _list(self) -> None:
        if time.monotonic() < self._list_at:
            return
        self._list_at = time.monotonic() + LIST_EVERY_S
        for path in folders.logs().glob("*/*/*/*.log"):
            if path not in self._files:
                self._files[path] = _File.open(path)

    async def _publish_batch(self, jetstream: Any, streams: Streams, file: _File) -> int:
        """Publish some of it; how many bytes."""
        size = file.path.stat().st_size
        is_done = file.is_done
        if size == self._sizes.get(file.path) and not is_done:
            return 0
        if lost := file.give_up_backlog():
            await _publish_lines(jetstream, streams, file, lost)
        if content := file.pending():
            await _publish_lines(jetstream, streams, file, content)
            file.advance(len(content))
            return len(content)
        self._sizes[file.path] = 0 if file.shrink() else size
        if is_done and file.offset >= file.path.stat().st_size:
            file.remove()
            self._drop(file.path)
        return 0

    def _drop(self, path: Path) -> None:
        self._files.pop(path, None)
        self._sizes.pop(path, None)


async def _publish_lines(jetstream: Any, streams: Streams, file: _File, content: bytes) -> None:
    """Publish in order, many under way at once; all are acknowledged when it returns."""
    await streams.require(file.namespace)
    acknowledgements = [
        await jetstream.publish_async(file.subject, text, headers={"Nats-Msg-Id": f"{file.path.stem}:{position}"})
        for position, text in file.batches(content)
    ]
    for acknowledgement in acknowledgements:
        await asyncio.wait_for(acknowledgement, ANSWER_S)
