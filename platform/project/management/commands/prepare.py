"""`manage.py prepare`: bring the database to this version. `manage.py server` runs it; on a cluster it is a job."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from project.server import schemas
from project.server.errors import CannotRun
from project.server.preparation import prepare


class Command(BaseCommand):
    """Create the database when it is missing, migrate every schema, make the first admin."""

    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The options."""
        parser.add_argument(
            "--processes", type=int, default=schemas.PROCESSES, help="how many namespaces to migrate at a time"
        )

    def handle(self, *_arguments: Any, processes: int, **_options: Any) -> None:
        """Prepare, and say what was done."""
        try:
            self.stdout.write(prepare(processes=processes))
        except CannotRun as error:
            raise CommandError(str(error)) from error
