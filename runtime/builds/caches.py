"""The layers that builds leave on the engine for later builds to find again, and how many of them are kept."""

from __future__ import annotations

import logging

from django.conf import settings

from runtime.backends import engine

GIBIBYTE = 1 << 30

logger = logging.getLogger(__name__)


def prune() -> None:
    """Give up what BuildKit has used least lately, beyond MICRO_BUILD_CACHE_GIB. Images and what is in use stay.

    Raises NoEngine when the engine is away.
    """
    kept_bytes = int(settings.MICRO_BUILD_CACHE_GIB * GIBIBYTE)
    with engine.reached() as client:
        freed_bytes = client.api.prune_builds(keep_storage=kept_bytes)["SpaceReclaimed"]
    if freed_bytes:
        logger.info("%d MiB of the build cache are given up", freed_bytes >> 20)
