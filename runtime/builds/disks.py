"""The engine's disk while it builds: what it loses meanwhile, and how much of it is left.

The engine has no limit for the disk of a build. What all of its disk loses is counted instead, other builds of the same
time included; an engine on another machine cannot be measured.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from micro.errors import ResourceExhausted
from runtime.backends import engine

GIBIBYTE = 1 << 30
LEAST_FREE_BYTES = GIBIBYTE // 2  # the engine, and what else is on its disk, goes on
FULL = {errno.ENOSPC, errno.EDQUOT}


def is_here() -> bool:
    """Whether the engine is on this machine."""
    return settings.MICRO_DOCKER_HOST in {"", "unix:///var/run/docker.sock"}


def root() -> Path | None:
    """The folder in which the engine keeps images and containers, when it is one of this machine."""
    folder = Path(engine.client().info().get("DockerRootDir") or "/nonexistent")
    return folder if is_here() and folder.is_dir() else None


def watched(may_go_on: Callable[[], bool]) -> Callable[[], bool]:
    """May the build go on? Raises ResourceExhausted once it has taken more disk than it may, or the disk is full."""
    folder = root()
    if folder is None:
        return may_go_on
    limit_gib = settings.MICRO_BUILD_DISK_GIB
    free_before = _free_bytes(folder)

    def on_a_disk_with_room() -> bool:
        free = _free_bytes(folder)
        if free_before - free > limit_gib * GIBIBYTE:
            raise ResourceExhausted(
                f"The build took more than {limit_gib} GiB of the engine's disk and was stopped: make it smaller, or "
                "have the operator raise MICRO_BUILD_DISK_GIB."
            )
        if free < LEAST_FREE_BYTES:
            raise ResourceExhausted(full(folder))
        return may_go_on()

    return on_a_disk_with_room


def full(folder: Path) -> str:
    """The sentence for a full disk of the engine."""
    return (
        f"The Docker engine's disk, which holds {folder}, is full ({_free_bytes(folder) >> 20} MiB are free): the "
        "operator has to make room there, for instance with a lower MICRO_BUILD_CACHE_GIB; then deploy again."
    )


def is_full(folder: Path) -> bool:
    """Whether so little is left that nothing is built."""
    return _free_bytes(folder) < LEAST_FREE_BYTES


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
