"""A tree of values for the namespace, by dotted paths, with its history.

    config.set("db", {"host": "localhost", "port": 5432})
    config.get("db.port", int, default=5432)
    for change in config.watch("db"):
        connect(change.value)

Every `get` asks the server: a changed value is seen at once, without a restart. Each function has a twin for `await` or
`async for`, with an `a` before its name.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import aio, errors, values
from .persistence import persistently
from .proto import config_pb2 as pb

if TYPE_CHECKING:
    from .client import Client, Replies

PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LeafChange:
    """A value before and after; None where there was or is none. Secrets read "[secret]"."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Revision:
    """What one change did. `by` is the id of an account, `action` is set or delete."""

    number: int
    at: datetime
    by: str
    action: str
    path: str
    changes: Sequence[LeafChange]


@dataclass(frozen=True, slots=True)
class Change:
    """The value at a watched path, and the revision that made it so: None when nobody changed it just now."""

    value: Any
    revision: int
    made_by: Revision | None = None


@overload
def get(
    path: str = "",
    *,
    default: Any = None,
    is_secret: bool = False,
    as_of: int | datetime | None = None,
    client: Client | None = None,
) -> Any: ...
@overload
def get(
    path: str,
    kind: type[T],
    *,
    default: T | None = None,
    is_secret: bool = False,
    as_of: int | datetime | None = None,
    client: Client | None = None,
) -> T | None: ...
def get(
    path: str = "",
    kind: Any = None,
    *,
    default: Any = None,
    is_secret: bool = False,
    as_of: int | datetime | None = None,
    client: Client | None = None,
) -> Any:
    """The value at a path, or `default` when there is none; as of a revision or a moment, if one is given.

    Secrets read "[secret]" unless asked for by `is_secret`. Raises InvalidArgument when the value is no `kind`.
    """
    try:
        found = text(path, is_secret=is_secret, as_of=as_of, client=client)
    except errors.NotFound:
        if as_of is not None:
            raise
        return default
    return default if found == "null" else _value(found, kind)


def text(
    path: str = "", *, is_secret: bool = False, as_of: int | datetime | None = None, client: Client | None = None
) -> str:
    """The JSON of what is at a path, `null` when nothing is. Raises NotFound when nothing was ever set."""
    client = _client(client)
    request = pb.GetRequest(namespace=client.namespace, path=path, options={"secret": is_secret}, **_as_of(as_of))
    return persistently(lambda: client.invoke("config", "Config.Get", request, pb.GetResponse)).value.data


def set(path: str, value: object, *, is_secret: bool = False, client: Client | None = None) -> int:
    """Merge an object into the tree, or replace what is at the path; the revision that this made."""
    return set_text(path, _json(value), is_secret=is_secret, client=client)


def set_text(path: str, text: str, *, is_secret: bool = False, client: Client | None = None) -> int:
    """`set` for who has the value as JSON."""
    client = _client(client)
    request = pb.SetRequest(namespace=client.namespace, path=path, value={"data": text}, options={"secret": is_secret})
    return persistently(lambda: client.invoke("config", "Config.Set", request, pb.SetResponse)).revision


def delete(path: str, *, client: Client | None = None) -> int:
    """Remove what is at a path and below it; the revision that this made."""
    client = _client(client)
    request = pb.DeleteRequest(namespace=client.namespace, path=path)
    return persistently(lambda: client.invoke("config", "Config.Delete", request, pb.DeleteResponse)).revision


def history(path: str = "", *, limit: int = 100, before: int = 0, client: Client | None = None) -> list[Revision]:
    """The revisions that touched a path, the newest first; with `before` only those of lower numbers."""
    client = _client(client)
    request = pb.RevisionsRequest(namespace=client.namespace, path=path, limit=limit, before=before)
    reply = persistently(lambda: client.invoke("config", "Revisions.List", request, pb.RevisionsResponse))
    return [_revision(revision) for revision in reply.revisions]


def watch(path: str = "", *, is_secret: bool = False, client: Client | None = None) -> Watch:
    """The value at a path now, and after every change of it, for ever and without gaps.

    A connection that breaks is made again, and goes on after the last revision that was seen.
    """
    client = _client(client)
    request = pb.WatchRequest(namespace=client.namespace, path=path, options={"secret": is_secret})
    return Watch(client, request)


class Watch(Iterator[Change]):
    """An open watch. Close it, or leave its `with`, to end it."""

    def __init__(self, client: Client, request: pb.WatchRequest) -> None:
        self._client, self._request = client, request
        self._replies: Replies[pb.WatchResponse] | None = None
        self._pause_s = PAUSE_S
        self._closed = threading.Event()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __next__(self) -> Change:
        while not self._closed.is_set():
            try:
                message = next(self._open())
            except (errors.Unavailable, StopIteration) as error:
                self._disconnect()
                self._rest(error)
            except errors.Error:
                if not self._closed.is_set():
                    raise
            else:
                self._pause_s = PAUSE_S
                self._request.after_revision = message.revision
                made_by = _revision(message.change) if message.HasField("change") else None
                return Change(json.loads(message.value.data), message.revision, made_by)
        raise StopIteration

    def close(self) -> None:
        """End it, in whatever thread it is read."""
        self._closed.set()
        self._disconnect()

    def _open(self) -> Replies[pb.WatchResponse]:
        if self._replies is None:
            self._replies = self._client.invoke_stream("config", "Revisions.Watch", [self._request], pb.WatchResponse)
            if self._closed.is_set():
                self._replies.close()
        return self._replies

    def _disconnect(self) -> None:
        if self._replies is not None:
            self._replies.close()
            self._replies = None

    def _rest(self, error: Exception) -> None:
        log.warning("watching %s: %s; trying again", self._request.path, error or "the server ended the stream")
        self._closed.wait(self._pause_s * random.uniform(0.5, 1))  # noqa: S311 - so that not all come back at once
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)


aget = aio.call(get)
atext = aio.call(text)
aset = aio.call(set)
aset_text = aio.call(set_text)
adelete = aio.call(delete)
ahistory = aio.call(history)
awatch = aio.iterate(watch)


def _as_of(when: int | datetime | None) -> dict[str, int]:
    if when is None:
        return {}
    if isinstance(when, datetime):
        return {"as_of_time": int(when.timestamp() * 1000)}
    return {"as_of_revision": when}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else values.encode(value).decode()


def _value(data: str, kind: Any) -> Any:
    if kind is None:
        return json.loads(data)
    if kind is str:
        found = json.loads(data)
        if not isinstance(found, str):
            raise errors.InvalidArgument(f"The value is no str: {data}.")
        return found
    return values.decode(data.encode(), kind)


def _revision(message: pb.Revision) -> Revision:
    return Revision(
        number=message.number,
        at=datetime.fromtimestamp(message.time / 1000, tz=UTC),
        by=message.by,
        action=message.action,
        path=message.path,
        changes=[LeafChange(leaf.path, _leaf(leaf.before), _leaf(leaf.after)) for leaf in message.changes],
    )


def _leaf(text: str) -> Any:
    return json.loads(text) if text else None


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
