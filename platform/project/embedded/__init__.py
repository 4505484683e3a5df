"""Servers that come as wheels, started when their URL is unset."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path


def package_folder(name: str) -> Path:
    """The folder of an installed package, without importing it; one that does not exist when it is not installed."""
    spec = find_spec(name)
    locations = list(spec.submodule_search_locations or []) if spec else []
    return Path(locations[0] if locations else f"{name} (not installed)")


def private_folder(path: Path) -> None:
    """Make the folder, and those above it that are missing, for this user alone; `~/.micro` has their logins, too."""
    for folder in reversed((path, *path.parents)):
        folder.mkdir(mode=0o700, exist_ok=True)


def kept_secret(path: Path) -> str:
    """The content of `path` (mode 0600), made at first use and the same ever after, whoever comes first."""
    if not path.exists():
        private_folder(path.parent)
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
            with suppress(FileExistsError):  # another process was first; its secret counts
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    return path.read_text()


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file of mode 0600 that holds `text`."""
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
