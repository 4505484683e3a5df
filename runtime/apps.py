"""The runtime app."""

from __future__ import annotations

from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    """From source to running replicas."""

    name = "runtime"
