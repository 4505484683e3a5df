"""Changing a tree: one revision at a time in each namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from micro.errors import NotFound, ResourceExhausted
from tenants import quotas
from transport.database import Connection, connection

from . import document, secrets
from .document import Leaf, Path

CHANNEL = "config"  # NOTIFY with the namespace's slug, when a revision is committed
KEPT_REVISIONS = 1000
KEPT_TIMES = 10  # the past of a tree may be so many times as large as the tree itself


async def set_value(*, namespace: str, path: Path, value: Any, is_secret: bool, by: str) -> int:
    """Merge an object into the tree leaf by leaf, or replace what is at `path`; the tree's revision afterwards.

    Raises ResourceExhausted when the tree would become too large, NotFound when there is no such namespace.
    """
    new = dict(document.leaves(value, path))
    async with connection() as lent, lent.transaction():
        head = await _lock(lent, namespace, begin=True)
        existing = await _leaves(lent, head)
        if new == {path: "{}"} and any(document.below(sorted(existing), path)) and path not in existing:
            return head.revision  # merging nothing into an object
        fresh = {at: text for at, text in new.items() if not _is_same(head, at, existing.get(at), text, is_secret)}
        if not fresh:
            return head.revision
        gone = document.displaced(existing, fresh)
        begun = {at: _leaf(head, at, text, is_secret) for at, text in fresh.items()}
        _require_room(head, {at: leaf for at, leaf in existing.items() if at not in gone} | begun)
        return await _commit(lent, head, _Edit("set", path, by, {at: existing[at] for at in gone}, begun))


async def delete(*, namespace: str, path: Path, by: str) -> int:
    """Remove what is at `path` and below; the tree's revision afterwards. Raises NotFound when nothing was ever set."""
    async with connection() as lent, lent.transaction():
        head = await _lock(lent, namespace, begin=False)
        existing = await _leaves(lent, head)
        gone = {at: existing[at] for at in document.below(sorted(existing), path)}
        if not gone:
            return head.revision
        return await _commit(lent, head, _Edit("delete", path, by, gone, {}))


@dataclass(frozen=True, slots=True)
class _Locked:
    """A tree's row, ours until the transaction ends."""

    slug: str
    namespace_id: int
    revision: int
    closed_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Edit:
    """What a revision does, and the leaves that it ends and begins."""

    action: str
    path: Path
    by: str
    gone: Mapping[Path, Leaf]
    begun: Mapping[Path, Leaf]


async def _lock(lent: Connection, namespace: str, *, begin: bool) -> _Locked:
    if begin:
        await lent.execute(_BEGIN, [namespace])
    row = await (await lent.execute(_LOCK, [namespace])).fetchone()
    if row is None:
        raise NotFound(f"Namespace {namespace!r} does not exist." if begin else "Not found")
    namespace_id, revision, closed_bytes = row
    return _Locked(namespace, namespace_id, revision, closed_bytes, quotas.known.limit(namespace, "config_bytes"))


async def _leaves(lent: Connection, head: _Locked) -> dict[Path, Leaf]:
    rows = await (await lent.execute(_LEAVES, [head.namespace_id])).fetchall()
    return {tuple(path): Leaf(value, sealed) for path, value, sealed in rows}


def _leaf(head: _Locked, path: Path, text: str, is_secret: bool) -> Leaf:
    return Leaf("", secrets.seal(text, namespace_id=head.namespace_id, path=path)) if is_secret else Leaf(text)


def _is_same(head: _Locked, path: Path, leaf: Leaf | None, text: str, is_secret: bool) -> bool:
    if leaf is None or leaf.is_secret != is_secret:
        return False
    if leaf.sealed is None:
        return leaf.value == text
    return secrets.unseal(leaf.sealed, namespace_id=head.namespace_id, path=path) == text


def _require_room(head: _Locked, leaves: Mapping[Path, Leaf]) -> None:
    if sum(document.size_of(path, leaf) for path, leaf in leaves.items()) > head.max_bytes:
        raise ResourceExhausted(f"The namespace may have {head.max_bytes} bytes of configuration: delete some first.")


async def _commit(lent: Connection, head: _Locked, edit: _Edit) -> int:
    number = head.revision + 1
    closed_bytes = head.closed_bytes + sum(document.size_of(path, leaf) for path, leaf in edit.gone.items())
    ids = {"id": head.namespace_id, "number": number}
    begun = [
        {"path": list(path), "value": leaf.value, "sealed": leaf.sealed, "size": document.size_of(path, leaf)}
        for path, leaf in edit.begun.items()
    ]
    cursor = lent.cursor()
    await cursor.executemany(_CLOSE, [ids | {"path": list(path)} for path in edit.gone])
    await cursor.executemany(_ADD, [ids | leaf for leaf in begun])
    await lent.execute(_RECORD, ids | {"by": edit.by, "action": edit.action, "path": list(edit.path)})
    await lent.execute(_ADVANCE, ids | {"closed_bytes": closed_bytes})
    await _forget(lent, head, number, closed_bytes)
    await lent.execute("SELECT pg_notify(%s, %s)", [CHANNEL, head.slug])
    return number


async def _forget(lent: Connection, head: _Locked, number: int, closed_bytes: int) -> None:
    """Drop the revisions that are too many, or whose leaves are too large together."""
    oldest = number - KEPT_REVISIONS
    if closed_bytes > KEPT_TIMES * head.max_bytes:
        limits = {"id": head.namespace_id, "most": KEPT_TIMES * head.max_bytes}
        (ended,) = await (await lent.execute(_TOO_MUCH, limits)).fetchone() or (None,)
        oldest = max(oldest, ended or 0)
    if oldest > 1:
        await lent.execute(_FORGET, {"id": head.namespace_id, "oldest": oldest})
        await lent.execute(_FORGET_REVISIONS, {"id": head.namespace_id, "oldest": oldest})


_BEGIN = """
    INSERT INTO public.config_tree (namespace_id) SELECT id FROM public.tenants_namespace WHERE slug = %s
    ON CONFLICT DO NOTHING
"""
_LOCK = """
    SELECT t.namespace_id, t.revision, t.closed_bytes
    FROM public.config_tree AS t JOIN public.tenants_namespace AS n ON n.id = t.namespace_id
    WHERE n.slug = %s FOR NO KEY UPDATE OF t
"""
_LEAVES = "SELECT path, value, sealed FROM public.config_leaf WHERE namespace_id = %s AND until IS NULL"
_CLOSE = """
    UPDATE public.config_leaf SET until = %(number)s
    WHERE namespace_id = %(id)s AND path = %(path)s::text[] AND until IS NULL
"""
_ADD = """
    INSERT INTO public.config_leaf (namespace_id, path, value, sealed, size_bytes, since)
    VALUES (%(id)s, %(path)s::text[], %(value)s, %(sealed)s, %(size)s, %(number)s)
"""
# Later revisions have later times, whatever the clock does.
_RECORD = """
    INSERT INTO public.config_revision (namespace_id, number, at, "by", action, path)
    SELECT %(id)s, %(number)s, greatest(clock_timestamp(), max(at)), %(by)s, %(action)s, %(path)s::text[]
    FROM public.config_revision WHERE namespace_id = %(id)s AND number = %(number)s - 1
"""
_ADVANCE = """
    UPDATE public.config_tree SET revision = %(number)s, closed_bytes = %(closed_bytes)s WHERE namespace_id = %(id)s
"""
_TOO_MUCH = """
    SELECT max(until) FROM (
        SELECT until, sum(size_bytes) OVER (ORDER BY until DESC) AS total FROM public.config_leaf
        WHERE namespace_id = %(id)s AND until IS NOT NULL
    ) AS past WHERE total > %(most)s
"""
_FORGET = """
    WITH gone AS (
        DELETE FROM public.config_leaf WHERE namespace_id = %(id)s AND until <= %(oldest)s RETURNING size_bytes
    )
    UPDATE public.config_tree SET oldest = greatest(oldest, %(oldest)s),
        closed_bytes = closed_bytes - (SELECT coalesce(sum(size_bytes), 0) FROM gone)
    WHERE namespace_id = %(id)s
"""
_FORGET_REVISIONS = "DELETE FROM public.config_revision WHERE namespace_id = %(id)s AND number < %(oldest)s"
