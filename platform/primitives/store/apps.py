"""The Store app."""

from __future__ import annotations

from django.apps import AppConfig


class StoreConfig(AppConfig):
    """Key-value records, per namespace and table."""

    name = "primitives.store"
    label = "store"
