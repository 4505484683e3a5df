"""The Rules app."""

from __future__ import annotations

from django.apps import AppConfig


class RulesConfig(AppConfig):
    """Who may call what in a namespace."""

    name = "primitives.rules"
    label = "rules"
