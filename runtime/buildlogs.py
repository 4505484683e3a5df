"""What a deployment tells its user while it is fetched, detected and built. The runner follows the file."""

from __future__ import annotations

from pathlib import Path

from . import folders
from .models import Deployment


class BuildLog:
    """Lines appended to the deployment's log file; programs append to the same file."""

    def __init__(self, deployment: Deployment) -> None:
        self.path: Path = folders.build_log(deployment.service.namespace.slug, deployment.service_id, deployment.pk)

    def say(self, *lines: str) -> None:
        """Append lines of our own."""
        with self.path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def close(self) -> None:
        """Nothing more comes: once everything is published the file may go."""
        self.path.with_suffix(".done").touch()
