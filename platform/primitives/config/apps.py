"""The Config app."""

from __future__ import annotations

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """A tree of values per namespace, and its history."""

    name = "primitives.config"
    label = "config"
