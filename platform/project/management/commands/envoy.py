"""`manage.py envoy`: become Envoy."""

from __future__ import annotations

import hashlib
import os
import resource
import socket
from typing import Any

import psutil
from django.conf import settings
from django.core.management.base import BaseCommand

from gateway.envoy import bootstrap

MOST_WORKERS = 8


class Command(BaseCommand):
    """Write Envoy's bootstrap and replace this process by Envoy."""

    help = __doc__
    requires_system_checks = []

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        """The process keeps its id, which Envoy tells the control plane. Envoy itself waits for that."""
        settings.MICRO_RUN.mkdir(parents=True, exist_ok=True, mode=0o700)
        home = hashlib.sha256(str(settings.MICRO_HOME).encode()).hexdigest()[:8]
        document = bootstrap.bootstrap(
            node_id=f"{socket.gethostname()}-{home}",
            pid=os.getpid(),
            run=settings.MICRO_RUN,
            heap_bytes=psutil.virtual_memory().total // 2,
            files=_as_many_files_as_may_be(),
        )
        file = bootstrap.write(document, settings.MICRO_HOME / "envoy" / "bootstrap.json")
        command = bootstrap.command(file, concurrency=min(MOST_WORKERS, len(os.sched_getaffinity(0))))
        os.execv(command[0], command)  # noqa: S606 - no shell, fixed arguments


def _as_many_files_as_may_be() -> int:
    """How many files Envoy may open: all that the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return 2 * bootstrap.CONNECTIONS
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
