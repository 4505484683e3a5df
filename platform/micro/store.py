"""Values under keys, in tables of the namespace.

    store.write("joe", Customer("Joe"), expiry_s=3600)
    store.read("joe", Customer)

A value is bytes, text, a dataclass or what JSON can hold. Without a table it is the service's own. Each function has a
twin for `await`, with an `a` before its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, overload

from . import aio, values
from .errors import InvalidArgument
from .persistence import persistently
from .proto import store_pb2 as pb

if TYPE_CHECKING:
    from .client import Client

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """A value and what the store knows of it. `expiry_s` is what is left to it; 0 means for ever."""

    key: str
    value: bytes
    version: int
    expiry_s: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)

    def into(self, kind: type[T]) -> T:
        """The value as bytes, str, a dataclass, dict, list... Raises InvalidArgument when it is none."""
        return values.decode(self.value, kind)


@overload
def read(key: str, *, table: str = "", client: Client | None = None) -> bytes: ...
@overload
def read(key: str, kind: type[T], *, table: str = "", client: Client | None = None) -> T: ...
def read(key: str, kind: type = bytes, *, table: str = "", client: Client | None = None) -> object:
    """The value under a key. Raises NotFound."""
    return record(key, table=table, client=client).into(kind)


def record(key: str, *, table: str = "", client: Client | None = None) -> Record:
    """The record under a key. Raises NotFound."""
    client = _client(client)
    request = pb.ReadRequest(key=key, options={"database": client.namespace, "table": _table(table)})
    return _records(client, request)[0]


def records(  # noqa: PLR0913 - keywords
    prefix: str = "",
    *,
    suffix: str = "",
    limit: int = 0,
    offset: int = 0,
    is_descending: bool = False,
    table: str = "",
    client: Client | None = None,
) -> list[Record]:
    """The records whose keys begin with `prefix` or end with `suffix`, in the order of their bytes; limit 0: all."""
    if prefix and suffix:
        raise InvalidArgument("Say a prefix or a suffix, not both.")
    client = _client(client)
    options = pb.ReadOptions(
        database=client.namespace,
        table=_table(table),
        prefix=not suffix,
        suffix=bool(suffix),
        limit=limit,
        offset=offset,
        order="desc" if is_descending else "asc",
    )
    return _records(client, pb.ReadRequest(key=prefix or suffix, options=options))


def write(  # noqa: PLR0913 - keywords
    key: str,
    value: object,
    *,
    expiry_s: int = 0,
    metadata: Mapping[str, str] | None = None,
    expected_version: int | None = None,
    table: str = "",
    client: Client | None = None,
) -> int:
    """Store a value, or replace it; the record's new version.

    With `expected_version` only when the record is of that version, 0: when there is none; else FailedPrecondition.
    """
    client = _client(client)
    fields = {name: pb.Field(type="string", value=text) for name, text in (metadata or {}).items()}
    request = pb.WriteRequest(
        record=pb.Record(key=key, value=values.encode(value), expiry=expiry_s, metadata=fields),
        options=pb.WriteOptions(database=client.namespace, table=_table(table), expected_version=expected_version),
    )
    reply = persistently(
        lambda: client.invoke("store", "Store.Write", request, pb.WriteResponse),
        is_repeatable=expected_version is None,
    )
    return reply.version


def delete(key: str, *, expected_version: int | None = None, table: str = "", client: Client | None = None) -> None:
    """Remove a record. Removing what is not there is no error, unless a version was expected."""
    client = _client(client)
    options = pb.DeleteOptions(database=client.namespace, table=_table(table), expected_version=expected_version)
    persistently(
        lambda: client.invoke("store", "Store.Delete", pb.DeleteRequest(key=key, options=options), pb.DeleteResponse),
        is_repeatable=expected_version is None,
    )


def keys(  # noqa: PLR0913 - keywords
    prefix: str = "",
    *,
    suffix: str = "",
    limit: int = 0,
    offset: int = 0,
    is_descending: bool = False,
    table: str = "",
    client: Client | None = None,
) -> list[str]:
    """The keys that begin with `prefix` and end with `suffix`, in the order of their bytes; a limit of 0: all."""
    client = _client(client)
    options = pb.ListOptions(
        database=client.namespace,
        table=_table(table),
        prefix=prefix,
        suffix=suffix,
        limit=limit,
        offset=offset,
        order="desc" if is_descending else "asc",
    )
    request = pb.ListRequest(options=options)
    return persistently(
        lambda: [
            key
            for reply in client.invoke_stream("store", "Store.List", [request], pb.ListResponse)
            for key in reply.keys
        ]
    )


def tables(*, client: Client | None = None) -> list[str]:
    """The tables of the namespace that hold a record."""
    client = _client(client)
    request = pb.TablesRequest(database=client.namespace)
    return list(persistently(lambda: client.invoke("store", "Store.Tables", request, pb.TablesResponse)).tables)


def databases(*, client: Client | None = None) -> list[str]:
    """The namespaces that store something; only for accounts of the platform's own namespace."""
    client = _client(client)
    reply = persistently(lambda: client.invoke("store", "Store.Databases", pb.DatabasesRequest(), pb.DatabasesResponse))
    return list(reply.databases)


aread = aio.call(read)
arecord = aio.call(record)
arecords = aio.call(records)
awrite = aio.call(write)
adelete = aio.call(delete)
akeys = aio.call(keys)
atables = aio.call(tables)
adatabases = aio.call(databases)


def _records(client: Client, request: pb.ReadRequest) -> list[Record]:
    reply = persistently(lambda: client.invoke("store", "Store.Read", request, pb.ReadResponse))
    return [
        Record(
            key=found.key,
            value=found.value,
            version=found.version,
            expiry_s=found.expiry,
            metadata={name: text.value for name, text in found.metadata.items()},
        )
        for found in reply.records
    ]


def _table(name: str) -> str:
    return name or os.environ.get("MICRO_SERVICE_NAME", "")


def _client(client: Client | None) -> Client:
    from .client import default

    return client or default()
