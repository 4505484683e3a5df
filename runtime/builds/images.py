"""Container images: a context is staged, the engine builds it, the image's digest is what a release runs."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from docker.errors import ImageNotFound

from micro.errors import Error, InvalidArgument, ResourceExhausted, Unavailable
from runtime import cgroups, folders
from runtime.attempts import Attempt
from runtime.backends import containers, engine
from runtime.sources import Fetched

from . import classic, contexts, disks, dockerfiles, environments, failures, hushed, limits
from .plans import SHELL, Artifact, Plan

GIBIBYTE = 1 << 30
LARGEST_IMAGE_BYTES = 2 * GIBIBYTE
CPUS, PIDS = 2, 512
MOST_TRIES = 4
RETRY_S = 0.5
# The engine knows the proxies without an ARG and keeps them out of the image's history.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy")
INDEXES = tuple(name for names in dockerfiles.INDEXES.values() for name in names)

Found = TypeVar("Found")


def tag(namespace: str, deployment_id: object) -> str:
    """The image's name, derived: a second attempt finds what the first one made."""
    return f"micro-{containers.server_id(settings.MICRO_HOME)}/{namespace}:{deployment_id}"


def build(fetched: Fetched, plan: Plan, attempt: Attempt) -> Artifact:
    """Build the image of a plan, its output in the log.

    Raises InvalidArgument for a Dockerfile that cannot be parsed, FailedPrecondition when a step of it fails,
    ResourceExhausted when it prints too much, takes too much disk, the disk is full or the image is too large.
    """
    name = tag(attempt.namespace, attempt.deployment_id)
    image = _patiently(attempt, lambda: _find(name))
    if image is None:
        staged = contexts.stage(fetched, plan, attempt.folder, namespace=attempt.namespace)
        _patiently(attempt, lambda: _run(staged, name, attempt))
        folders.remove(staged.context.parent)
        image = _patiently(attempt, lambda: _require_fit(name))
    return Artifact(
        digest=fetched.digest,
        command=[SHELL, "-c", plan.line] if plan.is_image and plan.line else [],
        folder=fetched.folder,
        environment="",
        protocol=plan.protocol,
        image=image,
    )


def _patiently(attempt: Attempt, ask: Callable[[], Found]) -> Found:
    """What `ask` returns; when the engine goes away meanwhile, wait for it and ask again.

    Raises Unavailable when it goes away, or loses what it has made, once too often.
    """
    for _ in range(MOST_TRIES):
        try:
            with engine.reached():
                return ask()
        except engine.NoEngine:
            with attempt.log.open("a") as log:
                log.write("The Docker engine went away; going on when it answers.\n")
            while not engine.answers():
                attempt.may_go_on()
                time.sleep(RETRY_S)
        except failures.Raced as raced:
            with attempt.log.open("a") as log:
                log.write(f"{raced}\n")
            attempt.may_go_on()
            time.sleep(RETRY_S)
    raise Unavailable(
        "The Docker engine went away while it built, or lost the image, again and again; deploy again once it stays."
    )


def remove(namespace: str, deployment_id: object) -> None:
    """Make it so that the image of a deployment is gone, with what only it was made of."""
    try:
        engine.client().images.remove(tag(namespace, deployment_id), force=True)
    except ImageNotFound:
        return


def deployments() -> dict[str, str]:
    """The deployments of which this server has images, each with its namespace."""
    prefix = f"micro-{containers.server_id(settings.MICRO_HOME)}/"
    found = engine.client().images.list(filters={"reference": f"{prefix}*"})
    names = [name for image in found for name in image.tags if name.startswith(prefix)]
    return {key: namespace for namespace, _, key in (name.removeprefix(prefix).rpartition(":") for name in names)}


def _find(name: str) -> str | None:
    try:
        return str(engine.client().images.get(name).id)
    except ImageNotFound:
        return None


def _require_fit(name: str) -> str:
    """The digest of an image that may run here; one that may not is removed again."""
    image = engine.client().images.get(name)
    try:
        _require_small(image.attrs["Size"])
        _require_volumes(containers.Image.of(image.attrs))
    except Error:
        engine.client().images.remove(name, force=True)
        raise
    return str(image.id)


def _require_small(size_bytes: int) -> None:
    if size_bytes > LARGEST_IMAGE_BYTES:
        raise ResourceExhausted(
            f"The image has {size_bytes / GIBIBYTE:.1f} GiB; {LARGEST_IMAGE_BYTES / GIBIBYTE:g} GiB may be."
        )


def _require_volumes(image: containers.Image) -> None:
    if refused := containers.refused_volume(image):
        raise InvalidArgument(f"The image declares VOLUME {refused}, which cannot be one: name a folder of your own.")
    if len(image.volumes) > containers.MOST_VOLUMES:
        raise InvalidArgument(
            f"The image declares {len(image.volumes)} volumes; {containers.MOST_VOLUMES} may be: name fewer in VOLUME."
        )


# Running the build.


@dataclass(frozen=True, slots=True)
class Order:
    """One build, as it is told to whichever builder there is."""

    staged: contexts.Staged
    tag: str
    network: str = ""  # blank: the engine's own
    arguments: Mapping[str, str] | None = None
    cgroup: str = ""


def buildkit_argv(cli: str, order: Order) -> list[str]:
    """The command line of BuildKit. Build arguments are named, their values are in the environment."""
    staged = order.staged
    return [
        *(cli, "build", "--progress", "plain", "--file", str(staged.dockerfile), "--tag", order.tag),
        *(("--network", order.network) if order.network else ()),
        *(("--cgroup-parent", order.cgroup) if order.cgroup else ()),
        *(word for name in sorted(order.arguments or {}) for word in ("--build-arg", name)),
        str(staged.context),
    ]


def classic_argv(order: Order) -> list[str]:
    """The command line of our own program that drives the classic builder. Values are in its environment here too."""
    staged, host = order.staged, settings.MICRO_DOCKER_HOST
    words = [host, str(staged.context), str(staged.dockerfile), order.tag, order.network, str(limits.memory_bytes())]
    return [sys.executable, str(Path(classic.__file__)), *words, *sorted(order.arguments or {})]


def hushed_argv(argv: Sequence[str], arguments: Mapping[str, str]) -> list[str]:
    """The same command, with credentials in its arguments' values kept out of what it prints, whatever prints them."""
    if not hushed.secrets(arguments.values()):
        return list(argv)
    return [sys.executable, str(Path(hushed.__file__)), *sorted(arguments), "--", *argv]


def _run(staged: contexts.Staged, name: str, attempt: Attempt) -> None:
    cli = buildkit_cli()
    arguments = {key: os.environ[key] for key in (*PROXIES, *INDEXES) if key in os.environ}
    if cli:  # what one namespace caches between its builds, no other sees
        arguments["BUILDKIT_CACHE_MOUNT_NS"] = f"{containers.server_id(settings.MICRO_HOME)}-{attempt.namespace}"
    network = "host" if settings.MICRO_UNSAFE_BUILD_HOST_NETWORK else ""
    with _limited(bool(cli), attempt) as cgroup:
        order = Order(staged, name, network, arguments, cgroup)
        argv = hushed_argv(buildkit_argv(cli, order) if cli else classic_argv(order), arguments)
        env = _environment() | arguments
        may_go_on = disks.watched(limits.printing_within(attempt))
        status = attempt.run(argv, env=env, cwd=staged.context, may_go_on=may_go_on)
    if status != 0:
        raise failures.of(attempt.log, staged.dockerfile.read_text() if staged.is_own else "")


def _environment() -> dict[str, str]:
    """The whole environment of the builder's client: no credentials of the server's user."""
    home = str(folders.empty_home())
    passed = {name: os.environ[name] for name in ("SSL_CERT_FILE",) if name in os.environ}
    host = {"DOCKER_HOST": settings.MICRO_DOCKER_HOST} if settings.MICRO_DOCKER_HOST else {}
    path = os.pathsep.join(environments.BASE_PATH)
    return {
        "PATH": path,
        "HOME": home,
        "DOCKER_CONFIG": home,
        "DOCKER_BUILDKIT": "1",
        "LANG": "C.UTF-8",
        **host,
        **passed,
    }


@contextmanager
def _limited(has_buildkit: bool, attempt: Attempt) -> Iterator[str]:
    """The control group for BuildKit; the classic builder takes its limits itself.

    An engine before 23 puts all builds into one group of its own, whatever it is told: that one is limited then.
    """
    wanted = cgroups.Limits(memory_bytes=limits.memory_bytes(), cpus=CPUS, pids=PIDS)
    if not has_buildkit or not disks.is_here() or engine.client().info().get("CgroupDriver") != "cgroupfs":
        yield ""
    elif int(engine.client().version()["Version"].partition(".")[0]) < 23:
        cgroups.limit("docker/buildkit", wanted)
        yield ""
    else:
        with cgroups.limited(f"micro-build-{attempt.deployment_id}", wanted) as path:
            yield path


@functools.cache
def buildkit_cli() -> str:
    """A Docker command line that has BuildKit; blank when there is none."""
    found = (Path(folder) / "docker" for folder in environments.BASE_PATH)
    return next((str(path) for path in found if path.is_file() and _has_buildkit(str(path))), "")


def _has_buildkit(cli: str) -> bool:
    """Since 23 it is in a plugin that may not be there; before, it was in the program itself, since 18.09."""
    if _output([cli, "buildx", "version"]):
        return True
    version = re.search(r"version (\d+)\.", _output([cli, "--version"]))
    return version is not None and 19 <= int(version[1]) < 23


def _output(argv: Sequence[str]) -> str:
    try:
        env = {"PATH": os.pathsep.join(environments.BASE_PATH), "HOME": "/nonexistent"}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
