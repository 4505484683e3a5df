"""From fetched files to an artifact: detect, then make an environment, an image, or build in place."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from micro.errors import FailedPrecondition
from runtime import folders
from runtime.attempts import Attempt
from runtime.backends import choice
from runtime.sources import Fetched

from . import complaints, detect, dockerfiles, environments, images, toolchains, workplaces
from .plans import SHELL, Artifact, Plan


def plan(fetched: Fetched, *, command: Sequence[str] = ()) -> Plan:
    """What will be done with the fetched files. Raises InvalidArgument when nothing in them can be run."""
    has_images = choice.chosen() == choice.DOCKER
    found = detect.detect(fetched.path, command=shlex.join(command), with_images=has_images)
    return replace(found, line=dockerfiles.line(found)) if has_images else toolchains.adapted(found)


def build(fetched: Fetched, chosen: Plan, attempt: Attempt) -> Artifact:
    """Carry out the plan, for the backend of this server; what its commands print goes to the log.

    Raises FailedPrecondition when a command of it fails.
    """
    if choice.chosen() == choice.DOCKER:
        return images.build(fetched, chosen, attempt)
    make = _environment if chosen.language == "Python" else toolchains.build
    try:
        return make(fetched, chosen, attempt)
    finally:
        folders.remove(folders.scratch(attempt.namespace, attempt.deployment_id))


def _environment(fetched: Fetched, chosen: Plan, attempt: Attempt) -> Artifact:
    wheel = environments.wheel() if chosen.wants_micro else None
    root = folders.environments(attempt.namespace)
    env = environments.build_environment() | {"UV_CACHE_DIR": str(environments.uv_cache(attempt.namespace))}
    shown = [attempt.folder / "overrides", *([wheel] if wheel else [])]

    def run(argv: Sequence[str]) -> None:
        said_before = attempt.log.stat().st_size if attempt.log.exists() else 0
        if workplaces.run(argv, attempt, fetched, env=env, cache_at=root, shown=shown) != 0:
            complaint = complaints.of_uv(complaints.printed(attempt.log, said_before))
            raise FailedPrecondition(f"The dependencies could not be installed: {complaint}")

    recipe = environments.Recipe(fetched.path, chosen, fetched.digest, wheel)
    return Artifact(
        digest=fetched.digest,
        command=[SHELL, "-c", chosen.line],
        folder=fetched.folder,
        environment=environments.make(recipe, attempt=attempt, run=run),
        protocol=chosen.protocol,
    )
