"""`manage.py create_operator`: make somebody who may do everything. Whoever can type it owns the server anyway."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from micro.errors import Error
from tenants.operations import create_operator


class Command(BaseCommand):
    """Make an operator: a user of /admin/ who is also an admin of the namespace micro."""

    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The name; the password is never an argument, which other users of the machine could see."""
        parser.add_argument("username")
        parser.add_argument("--email", default="", help="for resetting the password")

    def handle(self, *_arguments: Any, username: str, email: str, **_options: Any) -> None:
        """Ask for a password, or read it from the first line of what is piped in."""
        try:
            create_operator(username=username, email=email, password=_password())
        except Error as error:
            raise CommandError(error.detail) from None
        except OperationalError as error:
            raise CommandError(f"The database does not answer; is the server running? ({error})") from None
        self.stdout.write(f"{username} is an operator: /admin/, and `micro login --username {username}`.")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise CommandError("The two passwords differ.")
    return password
