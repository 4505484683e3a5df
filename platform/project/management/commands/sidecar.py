"""`manage.py sidecar`: serve the platform's own services over gRPC."""

from __future__ import annotations

from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from project import sidecar, waiting


class Command(BaseCommand):
    """Run one sidecar."""

    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The options."""
        parser.add_argument("--index", type=int, default=0, help="which of MICRO_SIDECAR_PROCESSES this is, from 0")

    def handle(self, *_arguments: Any, index: int, **_options: Any) -> None:
        """Serve on MICRO_RUN/sidecar-<index>.sock until SIGTERM."""
        waiting.wait_for("Postgres", waiting.database_answers)
        uvloop.run(sidecar.run(index=index, socket=settings.MICRO_RUN / f"sidecar-{index}.sock"))
