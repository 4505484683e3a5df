"""The Blobs app."""

from __future__ import annotations

from django.apps import AppConfig


class BlobsConfig(AppConfig):
    """Large objects: their bytes in a storage, what is known of them in the namespace's schema."""

    name = "primitives.blobs"
    label = "blobs"
