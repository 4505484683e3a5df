"""Large objects: written and read in pieces, so that their size costs no memory.

    with open("film.mp4", "rb") as file:
        blob.write("film", file, content_type="video/mp4")
    for piece in blob.stream("film"):
        ...

Each function has a twin for `await` or `async for`, with an `a` before its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from . import aio
from .errors import Internal
from .persistence import persistently
from .proto import store_pb2 as pb

if TYPE_CHECKING:
    from .client import Client, Replies

PIECE_BYTES = 256 * 1024

Data = bytes | str | BinaryIO | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Info:
    """What is known of a blob without reading it."""

    key: str
    size_bytes: int
    content_type: str
    is_public: bool
    sha256: str
    updated: datetime


def write(
    key: str, data: Data, *, content_type: str = "", is_public: bool = False, client: Client | None = None
) -> Info:
    """Store a blob, or replace it whole once all of it has come. A public one can be read by anybody."""
    client = _client(client)
    options = pb.BlobOptions(namespace=client.namespace, public=is_public, contentType=content_type)
    requests = _requests(key, options, data)
    replies = client.invoke_stream("store", "BlobStore.Write", requests, pb.BlobWriteResponse)
    return _info(next(replies).info)


def read(key: str, *, client: Client | None = None) -> bytes:
    """All of a blob. Raises NotFound."""
    return persistently(lambda: b"".join(stream(key, client=client)))


def stream(key: str, *, client: Client | None = None) -> Reader:
    """A blob piece by piece. Raises NotFound at the first piece."""
    client = _client(client)
    request = pb.BlobReadRequest(key=key, options={"namespace": client.namespace})
    return Reader(client.invoke_stream("store", "BlobStore.Read", [request], pb.BlobReadResponse))


def delete(key: str, *, client: Client | None = None) -> None:
    """Remove a blob. Removing what is not there is no error."""
    client = _client(client)
    request = pb.BlobDeleteRequest(key=key, options={"namespace": client.namespace})
    persistently(lambda: client.invoke("store", "BlobStore.Delete", request, pb.BlobDeleteResponse))


def blobs(prefix: str = "", *, limit: int = 0, after: str = "", client: Client | None = None) -> list[Info]:
    """The blobs whose keys begin with `prefix` and are above `after`, in the order of their bytes; 0: all."""
    client = _client(client)
    options = pb.BlobListOptions(namespace=client.namespace, prefix=prefix, limit=limit, after=after)
    request = pb.BlobListRequest(options=options)
    reply = persistently(lambda: client.invoke("store", "BlobStore.List", request, pb.BlobListResponse))
    return [_info(info) for info in reply.blobs]


class Reader(Iterator[bytes]):
    """The pieces of a blob. Leaving its `with`, or closing it, ends the reading."""

    def __init__(self, replies: Replies[pb.BlobReadResponse]) -> None:
        self._replies = replies
        self._info: Info | None = None
        self._piece = b""  # received with the info, not yet given

    @property
    def info(self) -> Info:
        """What is known of the blob. Raises NotFound."""
        if self._info is None:
            first = next(self._replies)
            self._info, self._piece = _info(first.info), first.blob
        return self._info

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __next__(self) -> bytes:
        if self.info and self._piece:
            piece, self._piece = self._piece, b""
            return piece
        return next(self._replies).blob

    def close(self) -> None:
        """Read no further."""
        self._replies.close()


awrite = aio.call(write)
aread = aio.call(read)
astream = aio.iterate(stream)
adelete = aio.call(delete)
ablobs = aio.call(blobs)


def _requests(key: str, options: pb.BlobOptions, data: Data) -> Iterator[pb.BlobWriteRequest]:
    """The key and the options, then the pieces."""
    yield pb.BlobWriteRequest(key=key, options=options)
    for piece in _pieces(data):
        for start in range(0, len(piece), PIECE_BYTES):
            yield pb.BlobWriteRequest(blob=piece[start : start + PIECE_BYTES])


def _pieces(data: Data) -> Iterable[bytes]:
    if isinstance(data, str):
        return [data.encode()]
    if isinstance(data, bytes):
        return [data]
    read_piece = getattr(data, "read", None)
    return data if read_piece is None else iter(lambda: read_piece(PIECE_BYTES), b"")


def _info(info: pb.BlobInfo) -> Info:
    if not info.key:
        raise Internal("The server did not say what it has stored.")
    updated = datetime.fromtimestamp(info.updated, tz=UTC)
    return Info(info.key, info.size_bytes, info.content_type, info.public, info.sha256, updated)


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
