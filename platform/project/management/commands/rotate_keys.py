"""`manage.py rotate_keys`: sign tokens with a new key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.timezone import now

from primitives.auth import keys


class Command(BaseCommand):
    """Make a new signing key. No valid token is refused meanwhile or afterwards."""

    help = __doc__
    requires_system_checks = []

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        """Publish the key; it signs by itself once every verifier has it."""
        kid = keys.rotate(at=now()).kid
        minutes = int(keys.PUBLISHED_FOR.total_seconds() // 60)
        self.stdout.write(f"The key {kid} is published now and signs in {minutes} minutes.")
