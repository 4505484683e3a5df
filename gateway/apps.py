"""The gateway app."""

from __future__ import annotations

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """The front doors."""

    name = "gateway"

    def ready(self) -> None:
        """Have new namespaces announced."""
        from tenants import provisioning

        from . import operations

        provisioning.register(operations.announce)
