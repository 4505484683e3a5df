"""Builds, replicas and their limits in time."""

from __future__ import annotations

import sys
from pathlib import Path

from project import env

MICRO_BACKEND = env.choice("MICRO_BACKEND", ("auto", "process", "docker"))  # auto: docker where an engine answers
MICRO_BUBBLEWRAP = env.choice("MICRO_BUBBLEWRAP", ("auto", "on", "off"))  # walls around processes; auto: where it works
MICRO_GIT_ALLOW_HOSTS = env.words("MICRO_GIT_ALLOW_HOSTS")
MICRO_UPLOAD_LIFE = env.duration("MICRO_UPLOAD_LIFE", default="24h")  # of a source that is sent and never deployed
MICRO_BUILD_TIMEOUT = env.duration("MICRO_BUILD_TIMEOUT", default="15m")  # then killed; its log is kept
MICRO_CACHE_MIB = env.number("MICRO_CACHE_MIB", 2048)  # that a namespace's builds in place keep for later ones
MICRO_START_TIMEOUT = env.duration("MICRO_START_TIMEOUT", default="60s")  # a replica not listening by then has failed
MICRO_DRAIN_TIME = env.duration("MICRO_DRAIN_TIME", default="5s")  # between a replica's last endpoint and its SIGTERM
MICRO_STOP_TIME = env.duration("MICRO_STOP_TIME", default="30s")  # between a replica's SIGTERM and its SIGKILL
MICRO_WHEEL = Path(sys.prefix) / "share" / "micro"  # the folder into which `make install` puts the client's wheel
