"""`manage.py server`: start every process of the platform on this machine, and stop them all with Ctrl-C."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from project.server import start


class Command(BaseCommand):
    """Start every process of the platform."""

    help = __doc__
    requires_system_checks = []

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        """Run until told to stop."""
        sys.exit(start.main())
