"""`manage.py server`: start every process of the platform on this machine, and stop them all with Ctrl-C."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from project.server import start


class Command(BaseCommand):
    """Start every process of the platform."""

    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The options."""
        start.add_arguments(parser)

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """Run until told to stop."""
        sys.exit(start.main(example=options["example"], backend_name=options["backend"]))
