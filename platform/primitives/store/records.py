"""Reading records. Every function takes the namespace; nothing here knows who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from micro.errors import Error, NotFound, ResourceExhausted
from transport.batches import Batcher
from transport.database import Connection, connection

MAX_ANSWER_BYTES = 12 * 1024 * 1024  # of records; a message may have 16 MiB
MAX_ANSWER_RECORDS = 100_000
KEYS_AT_ONCE = 10_000
MAX_BIGINT = 2**63 - 1

Metadata = Mapping[str, tuple[str, str]]  # name: (type, value)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is. `namespace` is a slug."""

    namespace: str
    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is now. `expiry_s` is what is left to it, in whole seconds; 0 means for ever."""

    key: str
    value: bytes
    version: int
    expiry_s: int = 0
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """Some keys of a table, in the order of their bytes. A `limit` of 0 means all."""

    prefix: str = ""
    suffix: str = ""
    limit: int = 0
    offset: int = 0
    is_descending: bool = False


async def read(place: Place) -> Record:
    """Raises NotFound when there is no record, or an expired one."""
    return await _read_one(place)


async def find(*, namespace: str, table: str, selection: Selection) -> list[Record]:
    """The records that `selection` means. Raises ResourceExhausted when they do not fit into one answer."""
    where, values = _conditions(namespace, table, selection)
    order = "DESC" if selection.is_descending else "ASC"
    sql = f"""
        SELECT key, value, version, expiry_s, metadata, total FROM (
            SELECT *, sum(size_bytes) OVER (ORDER BY key {order}) AS total FROM (
                SELECT r.key, r.value, r.version, {_EXPIRY} AS expiry_s, r.metadata, r.size_bytes
                FROM public.store_record AS r WHERE {where} ORDER BY r.key {order} LIMIT %(limit)s OFFSET %(offset)s
            ) AS found
        ) AS counted WHERE total - size_bytes <= {MAX_ANSWER_BYTES} ORDER BY key {order}
    """  # noqa: S608 - the pieces are constants of this file
    values["limit"] = min(values["limit"], MAX_ANSWER_RECORDS + 1)
    async with connection() as lent:
        rows = await (await lent.execute(sql, values)).fetchall()
    if len(rows) > MAX_ANSWER_RECORDS or (rows and rows[-1][-1] > MAX_ANSWER_BYTES):
        raise ResourceExhausted("The records are too much for one answer: read them in parts, with limit and offset.")
    return [_record(*row) for *row, _total in rows]


async def keys(*, namespace: str, table: str, selection: Selection) -> AsyncIterator[list[str]]:
    """The keys that `selection` means, some at a time; concurrent changes may show or not."""
    left, offset, last = selection.limit or MAX_BIGINT, selection.offset, None
    while left:
        page = Selection(selection.prefix, selection.suffix, min(left, KEYS_AT_ONCE), offset, selection.is_descending)
        found = await _page_of_keys(namespace, table, page, after=last)
        if not found:
            return
        yield found
        left, offset, last = left - len(found), 0, found[-1]
        if len(found) < KEYS_AT_ONCE:
            return


async def _page_of_keys(namespace: str, table: str, selection: Selection, *, after: str | None) -> list[str]:
    where, values = _conditions(namespace, table, selection)
    if after is not None:
        where += " AND r.key < %(after)s" if selection.is_descending else " AND r.key > %(after)s"
    order = "DESC" if selection.is_descending else "ASC"
    sql = f"""
        SELECT r.key FROM public.store_record AS r WHERE {where}
        ORDER BY r.key {order} LIMIT %(limit)s OFFSET %(offset)s
    """  # noqa: S608
    async with connection() as lent:
        return [key for (key,) in await (await lent.execute(sql, values | {"after": after})).fetchall()]


async def tables(*, namespace: str) -> list[str]:
    """The tables of the namespace that hold a record."""
    async with connection() as lent:
        return [name for (name,) in await (await lent.execute(_TABLES_OF, {"namespace": namespace})).fetchall()]


async def namespaces() -> list[str]:
    """Every namespace that holds a record: for those who may act in all of them."""
    async with connection() as lent:
        return [slug for (slug,) in await (await lent.execute(_NAMESPACES)).fetchall()]


def after_prefix(prefix: str) -> str | None:
    """The least text, by bytes, above everything that begins with `prefix`; None when there is no such text."""
    for end in range(len(prefix), 0, -1):
        last = ord(prefix[end - 1])
        if last < 0x10FFFF:
            successor = 0xE000 if last == 0xD7FF else last + 1  # surrogates are no characters
            return prefix[: end - 1] + chr(successor)
    return None


# A value of its own, not a join: so the index gives the rows in their order.
_NAMESPACE_ID = "SELECT id FROM public.tenants_namespace WHERE slug = %(namespace)s"
_IS_LIVE = "(r.expires_at IS NULL OR r.expires_at > now())"
_EXPIRY = "coalesce(ceil(extract(epoch FROM r.expires_at - now())), 0)::int8"

_READ = f"""
    SELECT a.nth, r.key, r.value, r.version, {_EXPIRY}, r.metadata
    FROM unnest(%b::text[], %b::text[], %b::text[]) WITH ORDINALITY AS a (slug, "table", key, nth)
    JOIN public.tenants_namespace AS n ON n.slug = a.slug
    JOIN public.store_record AS r ON r.namespace_id = n.id AND r."table" = a."table" AND r.key = a.key
    WHERE {_IS_LIVE}
"""  # noqa: S608

# One step through the index for each table, however many records it has.
_TABLES_OF = f"""
    WITH RECURSIVE t AS (
        (SELECT r."table" FROM public.store_record AS r WHERE r.namespace_id = ({_NAMESPACE_ID}) ORDER BY 1 LIMIT 1)
        UNION ALL
        SELECT (SELECT r."table" FROM public.store_record AS r
                WHERE r.namespace_id = ({_NAMESPACE_ID}) AND r."table" > t."table" ORDER BY 1 LIMIT 1)
        FROM t WHERE t."table" IS NOT NULL
    )
    SELECT t."table" FROM t
    WHERE EXISTS (SELECT FROM public.store_record AS r
                  WHERE r.namespace_id = ({_NAMESPACE_ID}) AND r."table" = t."table" AND {_IS_LIVE})
    ORDER BY 1
"""  # noqa: S608

_NAMESPACES = f"""
    SELECT n.slug FROM public.tenants_namespace AS n
    WHERE EXISTS (SELECT FROM public.store_record AS r WHERE r.namespace_id = n.id AND {_IS_LIVE}) ORDER BY 1
"""  # noqa: S608


def _conditions(namespace: str, table: str, selection: Selection) -> tuple[str, dict[str, Any]]:
    """The WHERE of a selection and its values. A prefix is a range of the index, a suffix looks at every key in it."""
    where = [f"r.namespace_id = ({_NAMESPACE_ID})", 'r."table" = %(table)s', _IS_LIVE]
    values: dict[str, Any] = {
        "namespace": namespace,
        "table": table,
        "limit": min(selection.limit or MAX_BIGINT, MAX_BIGINT),
        "offset": min(selection.offset, MAX_BIGINT),
    }
    if selection.prefix:
        where.append("r.key >= %(prefix)s")
        values["prefix"] = selection.prefix
        if (above := after_prefix(selection.prefix)) is not None:
            where.append("r.key < %(above)s")
            values["above"] = above
    if selection.suffix:
        where.append("right(r.key, %(suffix_length)s) = %(suffix)s")
        values |= {"suffix": selection.suffix, "suffix_length": len(selection.suffix)}
    return " AND ".join(where), values


async def _read_together(lane: Connection, places: Sequence[Place]) -> list[Record | Error]:
    columns = [place.namespace for place in places], [place.table for place in places], [place.key for place in places]
    found: list[Record | Error] = [NotFound("not found") for _ in places]
    for nth, *row in await (await lane.execute(_READ, columns, binary=True)).fetchall():
        found[nth - 1] = _record(*row)
    return found


_read_one: Batcher[Place, Record] = Batcher(_read_together, lane_of=lambda place: place.namespace)


def _record(key: str, value: bytes, version: int, expiry_s: int, metadata: dict[str, list[str]] | None) -> Record:
    return Record(
        key, value, version, expiry_s, {name: (kind, text) for name, (kind, text) in (metadata or {}).items()}
    )
