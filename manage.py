#!/usr/bin/env python
"""The one entry point of the control plane: puts platform/ on sys.path and hands over to Django."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main() -> None:
    """Run a management command."""
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        if sys.argv[1:2] == ["server"]:
            # It only supervises: without Django's apps it starts sooner and stays small.
            from project.server.start import command_line

            sys.exit(command_line(sys.argv[2:]))
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is missing: run `make install`.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
