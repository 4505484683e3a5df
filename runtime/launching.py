"""How a replica is started: its command, its whole environment, its log."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from . import credentials, folders, last_words, variables
from .backends import Launch
from .builds.environments import BASE_PATH
from .models import Replica

LOOPBACK = "127.0.0.1"
LAST_BYTES = 1 << 16
LONGEST = 500


def launch(replica: Replica) -> Launch:
    """How a replica is started: its release's command, with exactly the environment that a service gets."""
    release, service = replica.release, replica.service
    source = folders.build(service.namespace.slug, release.deployment_id) / "source"
    return Launch(
        replica_id=replica.pk,
        command=release.command,
        env=environment(replica),
        folder=source / release.folder,
        log=log_path(replica),
        image=release.image,
        namespace=service.namespace.slug,
        service=service.name,
        deployment_id=release.deployment_id,
        index=replica.index,
    )


def environment(replica: Replica) -> dict[str, str]:
    """A replica's whole environment. Nothing of the server's own is in it."""
    release, service = replica.release, replica.service
    home = folders.replicas() / str(replica.pk)
    python = folders.environments(service.namespace.slug) / release.environment
    own_path = [str(python / "bin")] if release.environment else []
    host, port = settings.MICRO_NETWORK_ADDRESS
    return {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "USER": "micro",  # that of the walls has no name, without which some libraries (Go's os/user) give up
        **release.env,
        **variables.unseal(release.secrets),
        "PATH": os.pathsep.join([*own_path, *BASE_PATH]),
        "HOME": str(home),
        "VIRTUAL_ENV": str(python),
        "PORT": str(replica.port),
        "MICRO_SERVICE_NAME": service.name,
        "MICRO_SERVICE_VERSION": service.version,
        "MICRO_SERVICE_ADDRESS": f"{LOOPBACK}:{replica.port}",
        "MICRO_PROXY": f"{LOOPBACK if host == '0.0.0.0' else host}:{port}",  # noqa: S104 - "every interface" includes this one
        "MICRO_NAMESPACE": service.namespace.slug,
        "MICRO_AUTH_ID": credentials.account_id(release),
        "MICRO_AUTH_SECRET": credentials.secret(release.deployment_id),
    }


def log_path(replica: Replica) -> Path:
    """Where a replica's output goes."""
    service = replica.service
    return folders.run_log(service.namespace.slug, service.pk, replica.release.deployment_id, replica.pk)


def last_line(replica: Replica) -> str:
    """What a replica printed last, as the end of a reason: the line that tells why it ended.

    Its own output alone, and without its secret.
    """
    path = log_path(replica)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_BYTES))
        words = last_words.telling(file.read().decode(errors="replace"))[:LONGEST]
    secret = credentials.secret(replica.release.deployment_id)
    return f" Its last words: {words}".replace(secret, "…").replace("\0", "") if words else ""
