"""The runtime app."""

from __future__ import annotations

from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    """From source to running replicas."""

    name = "runtime"

    def ready(self) -> None:
        """Have the registry ask who has which port of this machine."""
        from primitives.registry import addresses

        from . import holders

        addresses.learn(holders.Machine())
