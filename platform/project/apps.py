"""The project app: the composition root's management commands and pages."""

from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Commands and pages that join rooms."""

    name = "project"
