"""The server's secret key: from the environment, else a file in MICRO_HOME that is made at first use."""

from __future__ import annotations

import os
from pathlib import Path

from project.embedded import kept_secret


def load(home: Path) -> str:
    """MICRO_SECRET_KEY, else the content of `<home>/secret_key` (mode 0600, made when absent)."""
    return os.environ.get("MICRO_SECRET_KEY") or kept_secret(home / "secret_key")
