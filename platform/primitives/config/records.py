"""Reading trees and their past. Every function takes the namespace; nothing here knows who asks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from micro.errors import Error, NotFound
from transport.batches import Batcher
from transport.database import Connection, connection

from .document import Leaf, Path, Tree

MAX_CACHED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """Where a namespace's tree is now, and how far its past goes back. `namespace_id` is that of the row."""

    namespace_id: int
    revision: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Change:
    """A leaf before and after a revision; None where there was or is none."""

    path: Path
    before: Leaf | None
    after: Leaf | None


@dataclass(frozen=True, slots=True)
class Revision:
    """What one change did."""

    number: int
    at: datetime
    by: str
    action: str
    path: Path
    changes: Sequence[Change]


async def head(*, namespace: str) -> Head:
    """Raises NotFound when nothing was ever set in the namespace."""
    return await _read_head(namespace)


async def tree(of: Head) -> Tree:
    """The tree as it is at `of` or, when it has changed meanwhile, later."""
    cached = _cache.get(of.namespace_id, of.revision)
    return cached or await _load(of.namespace_id)


async def tree_as_of(of: Head, *, revision: int) -> Tree:
    """The tree as a revision left it. Raises NotFound when there is no such revision, or no longer."""
    if revision > of.revision:
        raise NotFound(f"There is no revision {revision} yet: the last one is {of.revision}.")
    if revision < of.oldest:
        raise NotFound(f"Revision {revision} is no longer kept: the oldest one is {of.oldest}.")
    async with connection() as lent:
        rows = await (await lent.execute(_AS_OF, {"id": of.namespace_id, "revision": revision})).fetchall()
    return Tree(revision, {tuple(path): Leaf(value, sealed) for path, value, sealed in rows})


async def last_before(of: Head, *, until: datetime) -> int:
    """The last revision before a moment. Raises NotFound when there was none, or it is no longer known."""
    async with connection() as lent:
        row = await (await lent.execute(_LAST_BEFORE, {"id": of.namespace_id, "until": until})).fetchone()
    if row is None or row[0] is None:
        raise NotFound("Nothing was set by then, or it is no longer kept.")
    return int(row[0])


async def revisions(of: Head, *, after: int = 0, before: int = 0, limit: int) -> list[Revision]:
    """The oldest revisions above `after`; or, with `before`, the newest below it, newest first."""
    order, bound = ("DESC", "number < %(bound)s") if before else ("ASC", "number > %(bound)s")
    values = {"id": of.namespace_id, "bound": before or after, "limit": limit}
    sql = f"""
        SELECT number, at, "by", action, path FROM public.config_revision
        WHERE namespace_id = %(id)s AND {bound} ORDER BY number {order} LIMIT %(limit)s
    """  # noqa: S608 - two constants
    async with connection() as lent:
        rows = await (await lent.execute(sql, values)).fetchall()
        changes = await _changes(lent, of.namespace_id, [number for number, *_ in rows])
    return [
        Revision(number, at, by, action, tuple(path), changes.get(number, [])) for number, at, by, action, path in rows
    ]


async def _changes(lent: Connection, namespace_id: int, numbers: Iterable[int]) -> dict[int, list[Change]]:
    """By revision: the leaves that it ended, began, or both."""
    values = {"id": namespace_id, "numbers": list(numbers)}
    found: dict[int, dict[Path, tuple[Leaf | None, Leaf | None]]] = {}
    for number, is_new, path, value, sealed in await (await lent.execute(_CHANGES, values)).fetchall():
        before, after = found.setdefault(number, {}).get(tuple(path), (None, None))
        leaf = Leaf(value, sealed)
        found[number][tuple(path)] = (before, leaf) if is_new else (leaf, after)
    return {
        number: [Change(path, *sides) for path, sides in sorted(changes.items())] for number, changes in found.items()
    }


class _Cache:
    """Trees by namespace, the least asked for first. Whether one is still the newest, the database says each time."""

    def __init__(self) -> None:
        self._trees: OrderedDict[int, Tree] = OrderedDict()
        self._size_bytes = 0

    def get(self, namespace_id: int, revision: int) -> Tree | None:
        tree = self._trees.get(namespace_id)
        if tree is None or tree.revision < revision:
            return None
        self._trees.move_to_end(namespace_id)
        return tree

    def put(self, namespace_id: int, tree: Tree) -> None:
        old = self._trees.pop(namespace_id, None)
        self._size_bytes += tree.size_bytes - (old.size_bytes if old else 0)
        self._trees[namespace_id] = tree
        while self._size_bytes > MAX_CACHED_BYTES:
            self._size_bytes -= self._trees.popitem(last=False)[1].size_bytes


_cache = _Cache()


async def _load(namespace_id: int) -> Tree:
    """One statement, hence one moment: the leaves and the revision that they are of."""
    async with connection() as lent:
        rows = await (await lent.execute(_CURRENT, [namespace_id])).fetchall()
    if not rows:
        raise NotFound("Not found")
    found = {tuple(path): Leaf(value, sealed) for _, path, value, sealed in rows if path is not None}
    tree = Tree(rows[0][0], found)
    _cache.put(namespace_id, tree)
    return tree


async def _read_heads(lane: Connection, slugs: Sequence[str]) -> list[Head | Error]:
    found: list[Head | Error] = [NotFound("Not found") for _ in slugs]
    for nth, *row in await (await lane.execute(_HEADS, [list(slugs)], binary=True)).fetchall():
        found[nth - 1] = Head(*row)
    return found


_read_head: Batcher[str, Head] = Batcher(_read_heads, lane_of=lambda slug: slug, lanes=1)

_HEADS = """
    SELECT a.nth, t.namespace_id, t.revision, t.oldest
    FROM unnest(%b::text[]) WITH ORDINALITY AS a (slug, nth)
    JOIN public.tenants_namespace AS n ON n.slug = a.slug
    JOIN public.config_tree AS t ON t.namespace_id = n.id
    WHERE t.revision > 0
"""
_CURRENT = """
    SELECT t.revision, l.path, l.value, l.sealed FROM public.config_tree AS t
    LEFT JOIN public.config_leaf AS l ON l.namespace_id = t.namespace_id AND l.until IS NULL
    WHERE t.namespace_id = %s
"""
_AS_OF = """
    SELECT path, value, sealed FROM public.config_leaf
    WHERE namespace_id = %(id)s AND since <= %(revision)s AND (until IS NULL OR until > %(revision)s)
"""
_LAST_BEFORE = "SELECT max(number) FROM public.config_revision WHERE namespace_id = %(id)s AND at < %(until)s"
_CHANGES = """
    SELECT until, false, path, value, sealed FROM public.config_leaf
    WHERE namespace_id = %(id)s AND until = ANY (%(numbers)s)
    UNION ALL
    SELECT since, true, path, value, sealed FROM public.config_leaf
    WHERE namespace_id = %(id)s AND since = ANY (%(numbers)s)
"""
