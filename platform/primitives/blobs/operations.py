"""Keeping, finding and deleting blobs. Runs in a thread, in the namespace's schema.

An object gets a row before it exists and keeps one until it is gone: a Leftover, then a Blob, then a Leftover again. So
whatever is killed in between leaves nothing that `remove_leftovers` does not find.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.db import connections, transaction
from django.db.models import QuerySet, Sum

from micro.errors import NotFound
from tenants import quotas
from tenants.models import Namespace

from .models import Blob, Leftover
from .storage import reached, storage
from .uploads import Spooled

Permit = Callable[[str], None]  # of the owner; raises what the caller is refused with

LEFT_FOR = timedelta(hours=1)  # longer than any save into the storage takes


@dataclass(frozen=True, slots=True)
class Description:
    """What a caller says of a blob, and what was counted while it came in."""

    key: str
    size_bytes: int
    sha256: str
    content_type: str = ""
    is_public: bool = False
    owner: str = ""  # the service that writes it


def bytes_left(key: str) -> int:
    """How large the blob under `key` may become."""
    slug = Namespace.objects.values_list("slug", flat=True).get(schema_name=_schema())
    return int(quotas.limit(slug, "blob_bytes")) - _used(besides=key)


def keep(description: Description, file: Spooled, permit: Permit) -> Blob:
    """Put the bytes into the storage and let the key name them; what it named before goes, and keeps its owner.

    Raises ResourceExhausted when the namespace may not store so much, and what `permit` raises for the owner of what
    the key names.
    """
    name = f"{_schema()}/{uuid.uuid4().hex}"
    Leftover.objects.create(object=name)
    _save(name, file)
    try:
        with transaction.atomic():
            blob, replaced = _name(description, name, permit)
    except BaseException:
        _discard(name)
        raise
    if replaced:
        _discard(replaced)
    return blob


def find(key: str) -> Blob:
    """Raises NotFound."""
    blob = Blob.objects.filter(key=key).first()
    if blob is None:
        raise NotFound("Blob not found")
    return blob


def listed(*, prefix: str, after: str, limit: int, owner: str = "") -> list[Blob]:
    """Blobs whose keys begin with `prefix`, in the order of the keys' bytes; with `owner` only those of a service."""
    found: QuerySet[Blob] = Blob.objects.filter(key__startswith=prefix, key__gt=after)
    found = found.filter(owner=owner) if owner else found
    return list(found.order_by("key")[:limit])


def require_reached(key: str, permit: Permit) -> None:
    """Raises what `permit` raises for the owner of the blob under `key`; nothing where there is none."""
    for owner in Blob.objects.filter(key=key).values_list("owner", flat=True):
        permit(owner)


def delete(key: str, permit: Permit) -> None:
    """Deleting what is not there succeeds. Raises what `permit` raises for its owner."""
    with transaction.atomic():
        blob = Blob.objects.select_for_update().filter(key=key).first()
        if blob is None:
            return
        permit(blob.owner)
        blob.delete()
        Leftover.objects.create(object=blob.object)
    _discard(blob.object)


def remove_leftovers(*, at: datetime) -> None:
    """Delete the objects that nobody names and that nobody can still be at work with."""
    for leftover in Leftover.objects.filter(since__lt=at - LEFT_FOR):
        _discard(leftover.object)


def _name(description: Description, name: str, permit: Permit) -> tuple[Blob, str]:
    """Let the key name the object; what it named before, or blank."""
    namespace = Namespace.objects.get(schema_name=_schema())
    quotas.require(namespace, blob_bytes=lambda: _used(besides=description.key) + description.size_bytes)
    known = Blob.objects.select_for_update().filter(key=description.key).first()
    if known:
        permit(known.owner)
    replaced = known.object if known else ""
    blob = Blob(
        key=description.key,
        object=name,
        size_bytes=description.size_bytes,
        content_type=description.content_type,
        is_public=description.is_public,
        sha256=description.sha256,
        owner=known.owner if known else description.owner,
    )
    blob.save()
    Leftover.objects.filter(object=name).delete()
    if replaced:
        Leftover.objects.create(object=replaced)
    return blob, replaced


def _save(name: str, file: Spooled) -> None:
    with reached():
        kept = storage().save(name, file)
    if kept != name:
        raise AssertionError(f"the storage called {name} {kept}")
    try:
        folder = Path(storage().path(name)).parent
    except NotImplementedError:  # not on this disk
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the new name, too, is on disk before anybody hears of it
    finally:
        os.close(descriptor)


def _discard(name: str) -> None:
    with reached():
        storage().delete(name)
    Leftover.objects.filter(object=name).delete()


def _schema() -> str:
    """That of the namespace we are in."""
    return str(connections["default"].schema_name)  # type: ignore[attr-defined]


def _used(*, besides: str) -> int:
    return Blob.objects.exclude(key=besides).aggregate(sum=Sum("size_bytes"))["sum"] or 0
