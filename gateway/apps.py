"""The gateway app."""

from __future__ import annotations

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """The front doors."""

    name = "gateway"
