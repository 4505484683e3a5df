"""`manage.py prepare`: bring the database to this version. `manage.py server` runs it; on a cluster it is a job."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from project.server.errors import CannotRun
from project.server.preparation import prepare


class Command(BaseCommand):
    """Create the database when it is missing, migrate every schema, make the first admin."""

    help = __doc__
    requires_system_checks = []

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        """Prepare, and say what was done."""
        try:
            self.stdout.write(prepare())
        except CannotRun as error:
            raise CommandError(str(error)) from error
