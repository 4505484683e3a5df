"""The Auth app."""

from __future__ import annotations

from django.apps import AppConfig


class AuthConfig(AppConfig):
    """Accounts, tokens and access rules of a namespace."""

    name = "primitives.auth"
    label = "micro_auth"
