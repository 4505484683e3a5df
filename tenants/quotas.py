"""What a namespace may use. The caller counts, this file knows the limits."""

from __future__ import annotations

from django.conf import settings

from micro.errors import ResourceExhausted

from .models import Namespace


def require(namespace: Namespace, *, replicas: int) -> None:
    """Let the namespace have `replicas` in all (count after the change), else raise ResourceExhausted.

    Locks the namespace's row until the caller's transaction ends, so that two changes cannot both take the last one.
    """
    Namespace.objects.select_for_update().get(pk=namespace.pk)
    if replicas > settings.MICRO_DEFAULT_REPLICAS:
        limit = settings.MICRO_DEFAULT_REPLICAS
        raise ResourceExhausted(f"Namespace {namespace.slug!r} may have {limit} replicas; this would make {replicas}.")
