"""Keeping, finding and deleting blobs. Runs in a thread, in the namespace's schema.

An object gets a row before it exists and keeps one until it is gone: a Leftover, then a Blob, then a Leftover again. So
whatever is killed in between leaves nothing that `remove_leftovers` does not find.
"""

from __future__ import annotations

import os
import uuid
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

LEFT_FOR = timedelta(hours=1)  # longer than any save into the storage takes


@dataclass(frozen=True, slots=True)
class Description:
    """What a caller says of a blob, and what was counted while it came in."""

    key: str
    size_bytes: int
    sha256: str
    content_type: str = ""
    is_public: bool = False


def bytes_left(key: str) -> int:
    """How large the blob under `key` may become."""
    slug = Namespace.objects.values_list("slug", flat=True).get(schema_name=_schema())
    return int(quotas.limit(slug, "blob_bytes")) - _used(besides=key)


def keep(description: Description, file: Spooled) -> Blob:
    """Put the bytes into the storage and let the key name them; what it named before goes.

    Raises ResourceExhausted when the namespace may not store so much.
    """
    name = f"{_schema()}/{uuid.uuid4().hex}"
    Leftover.objects.create(object=name)
    _save(name, file)
    try:
        with transaction.atomic():
            blob, replaced = _name(description, name)
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


def listed(*, prefix: str, after: str, limit: int) -> list[Blob]:
    """Blobs whose keys begin with `prefix`, in the order of the keys' bytes."""
    found: QuerySet[Blob] = Blob.objects.filter(key__startswith=prefix, key__gt=after)
    return list(found.order_by("key")[:limit])


def delete(key: str) -> None:
    """Deleting what is not there succeeds."""
    with transaction.atomic():
        blob = Blob.objects.select_for_update().filter(key=key).first()
        if blob is None:
            return
        blob.delete()
        Leftover.objects.create(object=blob.object)
    _discard(blob.object)


def remove_leftovers(*, at: datetime) -> None:
    """Delete the objects that nobody names and that nobody can still be at work with."""
    for leftover in Leftover.objects.filter(since__lt=at - LEFT_FOR):
        _discard(leftover.object)


def _name(description: Description, name: str) -> tuple[Blob, str]:
    """Let the key name the object; what it named before, or blank."""
    namespace = Namespace.objects.get(schema_name=_schema())
    quotas.require(namespace, blob_bytes=lambda: _used(besides=description.key) + description.size_bytes)
    replaced = Blob.objects.filter(key=description.key).values_list("object", flat=True).first() or ""
    blob = Blob(
        key=description.key,
        object=name,
        size_bytes=description.size_bytes,
        content_type=description.content_type,
        is_public=description.is_public,
        sha256=description.sha256,
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
