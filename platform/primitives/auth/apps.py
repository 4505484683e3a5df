"""The Auth app."""

from __future__ import annotations

from django.apps import AppConfig


class AuthConfig(AppConfig):
    """Accounts, tokens and access rules of a namespace."""

    name = "primitives.auth"
    label = "micro_auth"

    def ready(self) -> None:
        """Let tenants ask whether a new member's name is an account's already."""
        from tenants.access import namesakes

        from . import operations

        namesakes.register(operations.is_taken)
