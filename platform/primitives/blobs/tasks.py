"""Housekeeping of the blobs."""

from __future__ import annotations

from celery import shared_task
from django.utils.timezone import now
from django_tenants.utils import tenant_context

from tenants.models import Namespace

from . import operations, uploads


@shared_task(name="blobs.remove_leftovers")  # type: ignore[untyped-decorator]
def remove_leftovers(**_later_arguments: object) -> None:
    """Delete the objects and half uploads that killed processes have left behind."""
    uploads.remove_abandoned()
    for namespace in Namespace.objects.all():
        with tenant_context(namespace):
            operations.remove_leftovers(at=now())
