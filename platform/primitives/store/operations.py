"""Changing records: exact counts, quotas and versions, many changes to a commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction

from micro.errors import Error, FailedPrecondition, NotFound, ResourceExhausted
from tenants import quotas
from transport.batches import Batcher
from transport.database import Connection

from .records import Metadata, Place

REMOVED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Write:
    """Store `value` for `expiry_s` seconds (0: for ever), if the record is of `expected_version`.

    None: whatever is there. 0: only when nothing is there.
    """

    place: Place
    value: bytes
    expiry_s: int = 0
    metadata: Metadata = field(default_factory=dict)
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove what is there, if it is of `expected_version`."""

    place: Place
    expected_version: int | None = None


Change = Write | Delete


async def write(change: Write) -> int:
    """The record's new version.

    Raises FailedPrecondition when it is not of the expected version, ResourceExhausted when the namespace may not store
    so much, NotFound when there is no such namespace.
    """
    return await _change(change)


async def delete(change: Delete) -> None:
    """Deleting what is not there succeeds, unless a version was expected: then FailedPrecondition."""
    await _change(change)


def size_of(change: Change) -> int:
    """What a change leaves behind, in the bytes that the quota counts."""
    if isinstance(change, Delete):
        return 0
    texts = [change.place.key, *(text for name, pair in change.metadata.items() for text in (name, *pair))]
    return len(change.value) + sum(len(text.encode()) for text in texts)


@transaction.atomic
def remove_expired(*, at_most: int = REMOVED_AT_ONCE) -> int:
    """Free what expired records of all namespaces take up; how many went. The caller repeats until none did."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_EXPIRED, {"at_most": at_most})
        ids = [pk for (pk,) in cursor.fetchall()]
        cursor.execute(_REMOVE_EXPIRED, {"ids": ids, "at_most": at_most})
        (gone,) = cursor.fetchone()
    return int(gone)


@dataclass(slots=True)
class _Usage:
    """A namespace while its changes are decided. `size_bytes` and `records` count what will be there."""

    id: int
    records: int
    size_bytes: int
    version: int
    max_records: int
    max_bytes: int

    def refusal(self, records: int, size_bytes: int) -> ResourceExhausted | None:
        """Why it may not grow by so much. Shrinking is always allowed."""
        if records > 0 and self.records + records > self.max_records:
            return ResourceExhausted(f"The namespace may store {self.max_records} records: delete some first.")
        if size_bytes > 0 and self.size_bytes + size_bytes > self.max_bytes:
            return ResourceExhausted(f"The namespace may store {self.max_bytes} bytes of records: delete some first.")
        return None


@dataclass(slots=True)
class _Kept:
    """What is under a key while changes to it are decided. `change` is the last one that holds, if any."""

    is_live: bool = False
    has_row: bool = False
    version: int = 0
    size_bytes: int = 0
    change: Change | None = None


async def _change_together(lane: Connection, changes: Sequence[Change]) -> list[int | Error]:
    """Two round trips: lock and look, then write and commit. In between it is decided who gets what, in order."""
    async with lane.pipeline(), lane.transaction():
        usages = await _lock(lane, {change.place.namespace for change in changes})
        kept = await _look(lane, list(dict.fromkeys(change.place for change in changes)))
        outcomes = [_decide(change, usages, kept) for change in changes]
        if any(isinstance(outcome, ResourceExhausted) for outcome in outcomes):
            # What has expired counts no longer, though nobody has removed it yet.
            await lane.execute(_REMOVE_EXPIRED_OF, [[usage.id for usage in usages.values()]])
            usages = await _lock(lane, {change.place.namespace for change in changes})
            kept = await _look(lane, list(kept))
            outcomes = [_decide(change, usages, kept) for change in changes]
        await _apply(lane, usages, kept)
    return outcomes


# One lane: what a batch costs, the sync of its commit above all, is shared by twice as many.
_change: Batcher[Change, int] = Batcher(
    _change_together, lane_of=lambda change: change.place.namespace, weigh=size_of, lanes=1
)


def _decide(change: Change, usages: dict[str, _Usage], kept: dict[Place, _Kept]) -> int | Error:
    """The version that `change` gives to its record, with everything booked; or why it cannot be."""
    usage, record = usages.get(change.place.namespace), kept[change.place]
    if usage is None:
        return NotFound(f"Namespace {change.place.namespace!r} does not exist.")
    if change.expected_version not in (None, record.version if record.is_live else 0):
        return FailedPrecondition(f"The record {change.place.key!r} is not of version {change.expected_version}.")
    is_write = isinstance(change, Write)
    growth = size_of(change) - record.size_bytes
    if refusal := usage.refusal(is_write - record.has_row, growth):
        return refusal
    usage.records += is_write - record.has_row
    usage.size_bytes += growth
    usage.version += is_write
    record.change, record.is_live, record.has_row = change, is_write, is_write
    record.version, record.size_bytes = (usage.version if is_write else 0), size_of(change)
    return record.version


async def _lock(lane: Connection, slugs: Iterable[str]) -> dict[str, _Usage]:
    """The usage of each namespace that exists, locked until the commit, always in the same order."""
    names = sorted(slugs)
    rows = await (await lane.execute(_LOCK, [names])).fetchall()
    if len(rows) < len(names):  # the first records of a namespace
        await lane.execute(_BEGIN_USAGE, [names])
        rows = await (await lane.execute(_LOCK, [names])).fetchall()
    limit = quotas.known.limit
    return {
        slug: _Usage(id, records, size_bytes, version, limit(slug, "records"), limit(slug, "record_bytes"))
        for slug, id, records, size_bytes, version in rows
    }


async def _look(lane: Connection, places: Sequence[Place]) -> dict[Place, _Kept]:
    """What is there now. A statement of its own: it must see what others committed while we waited for the lock."""
    cursor = await lane.execute(_LOOK, _columns(places))
    kept = {place: _Kept() for place in places}
    for nth, version, size_bytes, is_live in await cursor.fetchall():
        kept[places[nth - 1]] = _Kept(is_live, True, version, size_bytes)
    return kept


async def _apply(lane: Connection, usages: dict[str, _Usage], kept: dict[Place, _Kept]) -> None:
    changed = [record for record in kept.values() if record.change is not None]
    if not changed:
        return
    ids = {slug: usage.id for slug, usage in usages.items()}
    written = [(record.change, record) for record in changed if isinstance(record.change, Write)]
    deleted = [record.change.place for record in changed if isinstance(record.change, Delete)]
    if written:
        writes = [write for write, _ in written]
        await lane.execute(
            _WRITE,
            [
                [ids[write.place.namespace] for write in writes],
                [write.place.table for write in writes],
                [write.place.key for write in writes],
                [write.value for write in writes],
                [json.dumps(write.metadata, ensure_ascii=False) if write.metadata else None for write in writes],
                [record.version for _, record in written],
                [record.size_bytes for _, record in written],
                [write.expiry_s for write in writes],
            ],
        )
    if deleted:
        await lane.execute(_DELETE, _columns(deleted))
    touched = [usages[slug] for slug in {record.change.place.namespace for record in changed if record.change}]
    await lane.execute(
        _BOOK,
        [
            [usage.id for usage in touched],
            [usage.records for usage in touched],
            [usage.size_bytes for usage in touched],
            [usage.version for usage in touched],
        ],
    )


def _columns(places: Sequence[Place]) -> list[list[str]]:
    return [[place.namespace for place in places], [place.table for place in places], [place.key for place in places]]


_LOCK = """
    SELECT n.slug, n.id, u.records, u.size_bytes, u.version
    FROM public.tenants_namespace AS n JOIN public.store_usage AS u ON u.namespace_id = n.id
    WHERE n.slug = ANY (%b::text[]) ORDER BY n.id FOR NO KEY UPDATE OF u
"""
_BEGIN_USAGE = """
    INSERT INTO public.store_usage (namespace_id)
    SELECT id FROM public.tenants_namespace WHERE slug = ANY (%b::text[]) ORDER BY id ON CONFLICT DO NOTHING
"""
_LOOK = """
    SELECT a.nth, r.version, r.size_bytes, r.expires_at IS NULL OR r.expires_at > now()
    FROM unnest(%b::text[], %b::text[], %b::text[]) WITH ORDINALITY AS a (slug, "table", key, nth)
    JOIN public.tenants_namespace AS n ON n.slug = a.slug
    JOIN public.store_record AS r ON r.namespace_id = n.id AND r."table" = a."table" AND r.key = a.key
"""
_WRITE = """
    INSERT INTO public.store_record
        (namespace_id, "table", key, value, metadata, version, size_bytes, expires_at)
    SELECT a.namespace_id, a."table", a.key, a.value, a.metadata::jsonb, a.version, a.size_bytes,
           CASE WHEN a.expiry_s > 0 THEN now() + a.expiry_s * interval '1 second' END
    FROM unnest(%b::int8[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::int8[], %b::int8[], %b::int8[])
        AS a (namespace_id, "table", key, value, metadata, version, size_bytes, expiry_s)
    ON CONFLICT (namespace_id, "table", key) DO UPDATE SET
        value = excluded.value, metadata = excluded.metadata, version = excluded.version,
        size_bytes = excluded.size_bytes, expires_at = excluded.expires_at
"""
_DELETE = """
    DELETE FROM public.store_record AS r
    USING unnest(%b::text[], %b::text[], %b::text[]) AS a (slug, "table", key), public.tenants_namespace AS n
    WHERE n.slug = a.slug AND r.namespace_id = n.id AND r."table" = a."table" AND r.key = a.key
"""
_BOOK = """
    UPDATE public.store_usage AS u SET records = a.records, size_bytes = a.size_bytes, version = a.version
    FROM unnest(%b::int8[], %b::int8[], %b::int8[], %b::int8[]) AS a (namespace_id, records, size_bytes, version)
    WHERE u.namespace_id = a.namespace_id
"""
_REMOVE_EXPIRED_OF = """
    WITH gone AS (
        DELETE FROM public.store_record WHERE namespace_id = ANY (%b::int8[]) AND expires_at <= now()
        RETURNING namespace_id, size_bytes
    ), sums AS (SELECT namespace_id, count(*) AS records, sum(size_bytes)::int8 AS size_bytes FROM gone GROUP BY 1)
    UPDATE public.store_usage AS u SET records = u.records - s.records, size_bytes = u.size_bytes - s.size_bytes
    FROM sums AS s WHERE u.namespace_id = s.namespace_id
"""
_LOCK_EXPIRED = """
    SELECT namespace_id FROM public.store_usage WHERE namespace_id IN (
        SELECT namespace_id FROM public.store_record WHERE expires_at <= now() ORDER BY expires_at LIMIT %(at_most)s
    ) ORDER BY namespace_id FOR NO KEY UPDATE
"""
_REMOVE_EXPIRED = """
    WITH due AS (
        SELECT namespace_id, "table", key FROM public.store_record
        WHERE namespace_id = ANY (%(ids)s) AND expires_at <= now() ORDER BY expires_at LIMIT %(at_most)s
    ), gone AS (
        DELETE FROM public.store_record AS r USING due AS d
        WHERE r.namespace_id = d.namespace_id AND r."table" = d."table" AND r.key = d.key AND r.expires_at <= now()
        RETURNING r.namespace_id, r.size_bytes
    ), sums AS (SELECT namespace_id, count(*) AS records, sum(size_bytes)::int8 AS size_bytes FROM gone GROUP BY 1),
    booked AS (
        UPDATE public.store_usage AS u SET records = u.records - s.records, size_bytes = u.size_bytes - s.size_bytes
        FROM sums AS s WHERE u.namespace_id = s.namespace_id
    )
    SELECT count(*) FROM gone
"""
