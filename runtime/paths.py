"""Paths of this machine in what tenants read: those of a source are shown as below it, and no other is shown whole."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAME = r"[A-Za-z0-9_.-]+"
ELSEWHERE = "…"
_SHARED = ("/", "/usr", "/usr/local", "/opt", "/app", "/srv")  # say nothing about this server


def shown(text: str) -> str:
    """The text as a tenant may read it."""
    return shown_bytes(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")


def shown_bytes(text: bytes) -> bytes:
    """The same for what programs print, whatever its encoding. It never gets longer."""
    pattern, instead = _pattern(str(settings.MICRO_HOME), str(settings.MICRO_RUN))
    return pattern.sub(lambda match: instead[match.lastgroup or ""], text)


@functools.lru_cache(maxsize=4)
def _pattern(home: str, run: str) -> tuple[re.Pattern[bytes], dict[str, bytes]]:
    kinds = list(_kinds(home, run))
    pattern = "|".join(f"(?P<{name}>{regex})" for name, regex, _ in kinds)
    return re.compile(pattern.encode()), {name: instead.encode() for name, _, instead in kinds}


def _kinds(home: str, run: str) -> Iterator[tuple[str, str, str]]:
    """A name for each kind of place, what matches it, and what stands in its stead. The longer ones come first."""
    state = _any_of([home])
    yield "source", rf"{state}/builds/{_NAME}/{_ID}/(?:source|image/context/app|image/app)/", ""
    yield "root", rf"{state}/builds/{_NAME}/{_ID}/(?:source|image/context/app|image/app)(?![\w.-])", "."
    yield "scratch", rf"{state}/builds/{_NAME}/{_ID}/scratch(?![\w.-])", "~"
    yield "cache", rf"{state}/(?:environments/{_NAME}/uv|caches/{_NAME})(?![\w.-])", "cache"
    yield "environment", rf"{state}/environments/{_NAME}/{_NAME}", "environment"
    yield "state", rf"{state}(?![\w.-])(?:/(?:builds|environments|replicas|jobs)/{_NAME}(?:/{_ID})?)?", ELSEWHERE
    yield "other", rf"{_any_of(_others(run))}(?![\w.-])", ELSEWHERE


def _others(run: str) -> list[str]:
    """The folders of the sockets, of Python and of the platform's own code."""
    found = [run, sys.prefix, sys.base_prefix, str(settings.ROOT)]
    return [path for path in found if path not in _SHARED]


def _any_of(folders: list[str]) -> str:
    """Each of the folders, as it is named and as it is found; the longer ones first."""
    names = {name for folder in folders for name in (folder, os.path.realpath(folder))}
    return "(?:" + "|".join(re.escape(str(Path(name))) for name in sorted(names, key=len, reverse=True)) + ")"
