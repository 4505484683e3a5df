"""The storage of the bytes: files, or a bucket that may be away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from micro.errors import Unavailable

log = logging.getLogger(__name__)


def storage() -> Storage:
    """Where the bytes are."""
    return storages["blobs"]


def opened(name: str) -> File[bytes]:
    """Raises FileNotFoundError, and Unavailable."""
    with reached():
        return storage().open(name)


def piece(file: File[bytes], size_bytes: int) -> bytes:
    """The next bytes, blank at the end. Raises Unavailable."""
    with reached():
        read: bytes = file.read(size_bytes)
    return read


@contextmanager
def reached() -> Iterator[None]:
    """Raises Unavailable for whatever a bucket says that is away, has no room, or refuses us."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _troubles()):
            raise
        log.warning("the storage of blobs fails: %s", error)
        raise Unavailable("The storage of blobs is away, or has no room; try again.") from None


def _troubles() -> tuple[type[Exception], ...]:
    """What the client of a bucket raises; it is not even imported where blobs are files."""
    if isinstance(storage(), FileSystemStorage):
        return ()
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return Boto3Error, BotoCoreError, ClientError
