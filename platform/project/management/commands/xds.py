"""`manage.py xds`: Envoy's control plane."""

from __future__ import annotations

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from gateway import follow


class Command(BaseCommand):
    """Serve Envoy its configuration."""

    help = __doc__
    requires_system_checks = []

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        """Serve on MICRO_RUN/xds.sock until SIGTERM. Nothing is waited for: Postgres may be away."""
        settings.MICRO_RUN.mkdir(parents=True, exist_ok=True, mode=0o700)
        asyncio.run(follow.run(socket=settings.MICRO_RUN / "xds.sock", folder=settings.MICRO_HOME / "xds"))
