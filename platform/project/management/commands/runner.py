"""`manage.py runner`: make this machine's replicas equal the rows. With --stop-all, stop them and leave the rows."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from project import waiting


class Command(BaseCommand):
    """Run the runner."""

    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The options."""
        parser.add_argument(
            "--stop-all", action="store_true", help="stop all replicas; they start again with the server"
        )

    def handle(self, *_arguments: Any, stop_all: bool, **_options: Any) -> None:
        """Run until SIGTERM; replicas go on running."""
        # Imported late: stopping is in a hurry, and the runner imports much.
        if stop_all:
            from runtime.backends import choice

            choice.stop_everything()
            return
        from runtime import runner

        waiting.wait_for("Postgres", waiting.database_answers)
        loop = runner.Runner()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_signal: loop.stop())
        try:
            loop.run()
        except runner.AlreadyRunning as error:
            raise CommandError(str(error)) from error
