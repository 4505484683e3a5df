"""The Registry app."""

from __future__ import annotations

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Which services exist and where their nodes listen."""

    name = "primitives.registry"
    label = "registry"
