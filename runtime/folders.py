"""Where the runtime keeps its files. Names are derived from rows, so that a second attempt finds the first one's."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path
from uuid import UUID

from django.conf import settings


def made(path: Path) -> Path:
    """The folder, made for us alone unless it is there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def home() -> Path:
    """The state folder of this server."""
    return Path(settings.MICRO_HOME)


def builds(namespace: str) -> Path:
    """The folder of a namespace's builds, one folder each, named by deployment."""
    return home() / "builds" / namespace


def build(namespace: str, deployment_id: UUID) -> Path:
    """The folder of one build: its source and, once it is finished, its plan."""
    return builds(namespace) / str(deployment_id)


def scratch(namespace: str, deployment_id: UUID) -> Path:
    """HOME and TMPDIR of one build's commands in place."""
    return build(namespace, deployment_id) / "scratch"


def environments(namespace: str) -> Path:
    """The folder of a namespace's Python environments, named by the hash of what they hold."""
    return made(home() / "environments" / namespace)


def archives(namespace: str) -> Path:
    """The folder of a namespace's uploaded archives, named by their SHA-256."""
    return made(home() / "sources" / namespace)


def empty_home() -> Path:
    """A HOME with nothing in it, for programs that look into theirs."""
    return made(home() / "empty")


def unfinished() -> Path:
    """Files that are being written; housekeeping removes what is old here."""
    return made(home() / "tmp")


def replicas() -> Path:
    """One folder for each replica of this machine: its process record and its HOME."""
    return made(home() / "replicas")


def jobs() -> Path:
    """One folder for each build process that runs: its process record."""
    return made(home() / "jobs")


def cache(namespace: str) -> Path:
    """What a namespace's builds in place keep for later ones: packages, modules, what was compiled."""
    return made(home() / "caches" / namespace)


def logs() -> Path:
    """Log files that are followed: `<namespace>/<service id>/<run|build>/<id>.log`."""
    return made(home() / "logs" / "services")


def run_log(namespace: str, service_id: UUID, deployment_id: UUID, replica_id: UUID) -> Path:
    """What one replica prints, named by the deployment that made its release and by itself."""
    return made(logs() / namespace / str(service_id) / "run") / f"{deployment_id}.{replica_id}.log"


def build_log(namespace: str, service_id: UUID, deployment_id: UUID) -> Path:
    """What one deployment's fetch, detection and build print."""
    return made(logs() / namespace / str(service_id) / "build") / f"{deployment_id}.log"


def remove(path: Path) -> None:
    """Make it so that `path`, a file or a folder, is not there. What cannot be removed stays."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    with contextlib.suppress(RecursionError):
        shutil.rmtree(path, ignore_errors=True)
    if path.exists():  # deeper than Python goes, or than a path can name
        subprocess.run(["rm", "-rf", "--", str(path)], check=False, capture_output=True)
