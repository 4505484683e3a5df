"""The tenants app."""

from __future__ import annotations

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Who uses the platform: environments, namespaces, users, memberships."""

    name = "tenants"
