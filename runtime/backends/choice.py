"""Which backend this server has: what the operator says, else containers where a Docker engine answers."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import cast

from django.conf import settings

from . import Backend

AUTO, PROCESS, DOCKER = "auto", "process", "docker"
BACKENDS = (AUTO, PROCESS, DOCKER)


def chosen() -> str:
    """`process` or `docker`. `micro server` settles it once for all its processes, in MICRO_BACKEND."""
    return _found() if settings.MICRO_BACKEND == AUTO else str(settings.MICRO_BACKEND)


@functools.cache
def _found() -> str:
    from . import engine

    return DOCKER if engine.answers() else PROCESS


def make() -> Backend:
    """The chosen backend. Only its own libraries are loaded."""
    module = importlib.import_module(f"{__package__}.{chosen()}")
    return cast("Backend", getattr(module, chosen().capitalize())())


@dataclass(frozen=True, slots=True)
class Stopped:
    """How much ran of a server's replicas and builds."""

    processes: int
    containers: int


def stop_everything() -> Stopped:
    """Stop every replica and every build of this server; the rows still want the replicas."""
    from . import process

    containers = 0
    if chosen() == DOCKER:
        from . import docker

        containers = docker.stop_everything()
    return Stopped(process.stop_everything(), containers)
