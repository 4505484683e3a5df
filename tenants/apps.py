"""The tenants app."""

from __future__ import annotations

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Who uses the platform: environments, namespaces, users, memberships."""

    name = "tenants"

    def ready(self) -> None:
        """Let what is below this room know how many streams a namespace may have."""
        from transport import events

        from . import quotas

        events.limit_of["streams"] = lambda namespace: int(quotas.limit(namespace, "streams"))
