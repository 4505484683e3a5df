"""External commands: a program `micro-NAME` on PATH is `micro NAME`, after Micro's own commands and before services."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .failures import Failure

PREFIX = "micro-"


def run(name: str, args: tuple[str, ...]) -> None:
    """Become the plugin of that name. Returns when there is none; raises Failure when it cannot be started."""
    if "/" in name or not (program := shutil.which(f"{PREFIX}{name}")):
        return
    try:
        os.execv(program, [program, *args])  # noqa: S606
    except OSError as error:
        raise Failure(f"The plugin {program} cannot be started: {error.strerror}.") from None


def names() -> list[str]:
    """The plugins that are on PATH, sorted."""
    found = set()
    for folder in map(Path, filter(None, os.environ.get("PATH", "").split(os.pathsep))):
        if folder.is_dir():
            found |= {path.name.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*") if os.access(path, os.X_OK)}
    return sorted(found)
