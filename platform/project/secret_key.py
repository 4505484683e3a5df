"""The server's secret key: from the environment, else a file in MICRO_HOME that is made at first use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def load(home: Path) -> str:
    """MICRO_SECRET_KEY, else the content of `<home>/secret_key` (mode 0600, made when absent; safe under concurrent first starts)."""
    if key := os.environ.get("MICRO_SECRET_KEY"):
        return key
    path = home / "secret_key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first; its key counts
        finally:
            draft.unlink()
    return path.read_text()
