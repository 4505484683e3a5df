"""From fetched files to an artifact: detect, then make an environment, an image, or build in place."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from micro.errors import FailedPrecondition
from runtime import folders
from runtime.attempts import Attempt
from runtime.backends import choice
from runtime.sources import Fetched

from . import detect, environments, images, toolchains
from .plans import SHELL, Artifact, Plan


def plan(fetched: Fetched, *, command: Sequence[str] = ()) -> Plan:
    """What will be done with the fetched files. Raises InvalidArgument when nothing in them can be run."""
    has_images = choice.chosen() == choice.DOCKER
    found = detect.detect(fetched.path, command=shlex.join(command), with_images=has_images)
    return found if has_images else toolchains.adapted(found)


def build(fetched: Fetched, chosen: Plan, attempt: Attempt) -> Artifact:
    """Carry out the plan, for the backend of this server; what its commands print goes to the log.

    Raises FailedPrecondition when a command of it fails.
    """
    if choice.chosen() == choice.DOCKER:
        return images.build(fetched, chosen, attempt)
    make = _environment if chosen.language == "Python" else toolchains.build
    return make(fetched, chosen, attempt)


def _environment(fetched: Fetched, chosen: Plan, attempt: Attempt) -> Artifact:
    def run(argv: Sequence[str]) -> None:
        env = environments.build_environment(folders.empty_home())
        if attempt.run(argv, env=env, cwd=fetched.path) != 0:
            raise FailedPrecondition(f"The dependencies could not be installed: {_last_words(attempt.log)}")

    wheel = environments.wheel() if chosen.wants_micro else None
    recipe = environments.Recipe(fetched.path, chosen, fetched.digest, wheel)
    environment = environments.make(recipe, namespace=attempt.namespace, deployment_id=attempt.deployment_id, run=run)
    return Artifact(
        digest=fetched.digest,
        command=[SHELL, "-c", chosen.line],
        folder=fetched.folder,
        environment=environment,
        protocol=chosen.protocol,
    )


def _last_words(log: Path) -> str:
    """The end of the log in one line, as the reason of a failure."""
    lines = [line.strip(" \t╰─▶│\u00d7") for line in log.read_text(errors="replace").splitlines()[-12:]]
    return " ".join(line for line in lines if line)[-600:]
