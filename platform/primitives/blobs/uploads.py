"""What a caller sends, on its way to the storage: on disk, so that its size costs no memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings
from django.core.files import File

BUFFER_BYTES = 1024 * 1024
ABANDONED_AFTER = timedelta(days=1)


class Spooled(File):  # type: ignore[type-arg]
    """A file that a storage on the same disk may simply take."""

    def temporary_file_path(self) -> str:
        """Where it is; Django's file storage moves it from there."""
        return str(self.name)


class Upload:
    """Bytes as they come. After `finish`, `file` has them all, safely on disk; `async with` removes it."""

    def __init__(self) -> None:
        folder = incoming()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder)
        self.file = Spooled(os.fdopen(descriptor, "w+b"), name=name)
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._pending = bytearray()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    async def add(self, data: bytes) -> None:
        """Take some more."""
        self.size_bytes += len(data)
        self._pending += data
        if len(self._pending) >= BUFFER_BYTES:
            await self._write()

    async def finish(self) -> None:
        """That was all."""
        await self._write()
        await asyncio.to_thread(self._sync)

    def _remove(self) -> None:
        self.file.close()
        Path(str(self.file.name)).unlink(missing_ok=True)  # unless the storage took it

    async def _write(self) -> None:
        data, self._pending = self._pending, bytearray()
        await asyncio.to_thread(self._append, data)

    def _append(self, data: bytearray) -> None:
        self._hash.update(data)
        self.file.write(data)

    def _sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.seek(0)


def incoming() -> Path:
    """Where uploads are while they come in: on the disk of the file storage."""
    return Path(settings.MICRO_BLOB_FOLDER) / "incoming"


def remove_abandoned() -> None:
    """Delete what killed processes left half received."""
    oldest = time.time() - ABANDONED_AFTER.total_seconds()
    for path in incoming().glob("*"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
