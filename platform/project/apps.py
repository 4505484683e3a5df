"""The project app: the composition root's management commands and pages."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Commands and pages that join rooms."""

    name = "project"

    def ready(self) -> None:
        """Make our Celery app the one that shared tasks are sent with, in every process."""
        import_module("project.celery")
