"""What a namespace may use. The caller counts, this file knows the limits."""

from __future__ import annotations

from django.conf import settings

from micro.errors import ResourceExhausted

from .models import Namespace


def require(namespace: Namespace, *, replicas: int = 0, blob_bytes: int = 0) -> None:
    """Let the namespace have so much in all (counted after the change), else raise ResourceExhausted.

    Locks the namespace's row until the caller's transaction ends, so that two changes cannot both take the last one.
    """
    Namespace.objects.select_for_update().get(pk=namespace.pk)
    _require(namespace, "replicas", replicas, limit=settings.MICRO_DEFAULT_REPLICAS)
    _require(namespace, "bytes of blobs", blob_bytes, limit=settings.MICRO_DEFAULT_BLOB_BYTES)


def _require(namespace: Namespace, what: str, wanted: int, *, limit: int) -> None:
    if wanted > limit:
        raise ResourceExhausted(f"Namespace {namespace.slug!r} may have {limit} {what}; this would make {wanted}.")
