"""Claims about what a build cannot reach or change of another namespace's: images, caches, layers. On a real engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from building import write_source

from micro.errors import Error, FailedPrecondition, InvalidArgument
from runtime import builds
from runtime.attempts import Attempt
from runtime.builds import images

BASE = "FROM debian:bookworm-slim\n"
SECRET = "the words of the victim"
Build = Callable[[str, str], str]


@pytest.fixture
def build(server: str, tmp_path: Path) -> Build:
    """Builds a namespace's Dockerfile; what was printed. A build that fails raises, with that in the error's notes."""
    if not images.buildkit_cli():
        pytest.skip("No docker command line with BuildKit is here: apt-get install docker.io, or docker-buildx.")

    def run(namespace: str, dockerfile: str) -> str:
        attempt = Attempt(namespace, uuid4(), tmp_path / f"{uuid4()}.log", lambda: True)
        fetched = write_source(attempt.source, {"Dockerfile": dockerfile})
        try:
            builds.build(fetched, builds.plan(fetched), attempt)
        except Error as error:
            error.add_note(attempt.log.read_text() if attempt.log.exists() else "")
            raise
        return attempt.log.read_text()

    return run


@pytest.fixture
def victims(build: Build, server: str, docker_engine: docker.DockerClient) -> docker.models.images.Image:
    """An image of the namespace `victim` with a secret in it."""
    build("victim", f"{BASE}RUN echo '{SECRET} {uuid4()}' >/secret\n")
    (image,) = docker_engine.images.list(filters={"reference": f"micro-{server}/victim"})
    return image


WAYS = {
    "FROM": "FROM {0}\nRUN cat /secret && false\n",
    "COPY": BASE + "COPY --from={0} /secret /secret\nRUN cat /secret && false\n",
    "RUN": BASE + "RUN --mount=from={0},target=/v cat /v/secret && false\n",
    "ONBUILD": BASE + "ONBUILD COPY --from={0} /secret /secret\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_another_namespaces_image_is_taken_by_no_name_and_no_id(way, build, victims):
    short = victims.id.removeprefix("sha256:")[:12]
    for name in (victims.tags[0], f"docker.io/{victims.tags[0]}", victims.id, short, short[:4]):
        with pytest.raises(InvalidArgument) as refused:
            build("mallory", WAYS[way].format(name))
        assert SECRET not in str(refused.value.__notes__)


def test_ones_own_image_is_taken(build, victims):
    with pytest.raises(FailedPrecondition) as failed:
        build("victim", WAYS["FROM"].format(victims.tags[0]))
    assert SECRET in str(failed.value.__notes__)


def test_a_cache_mount_is_its_namespaces_own_whatever_its_id(build, server):
    mark = uuid4().hex
    own = f"RUN --mount=type=cache,id=shared,target=/c echo '{SECRET}' >/c/{mark}\n"
    build("victim", BASE + own)
    ids = ("shared", "../victim/shared", f"{server}-victim/shared", f"../{server}-victim/shared", "/../shared")
    steps = "".join(
        f"RUN --mount=type=cache,id={name},target=/c ls /c; cat /c/{mark}; echo poison >/c/{mark}; true\n"
        for name in ids
    )
    with pytest.raises(FailedPrecondition) as failed:
        build("mallory", f"{BASE}{steps}RUN exit 7\n")
    assert f"\n{SECRET}" not in failed.value.__notes__[0].replace("echo", "")
    again = f"RUN --mount=type=cache,id=shared,target=/c echo found $(cat /c/{mark}) && false\n"
    with pytest.raises(FailedPrecondition) as failed:
        build("victim", BASE + again)
    assert f"found {SECRET}" in failed.value.__notes__[0]


def test_a_step_that_a_poisoned_cache_has_made_is_not_found_again_by_another_namespace(build):
    mark = uuid4().hex
    step = f"RUN --mount=type=cache,id={mark},target=/c cp /c/payload /out 2>/dev/null || echo clean >/out\n"
    build("mallory", f"{BASE}RUN --mount=type=cache,id={mark},target=/c echo poisoned >/c/payload\n")
    build("mallory", BASE + step)
    with pytest.raises(FailedPrecondition) as failed:
        build("victim", f"{BASE}{step}RUN echo found $(cat /out) && false\n")
    assert "found clean" in failed.value.__notes__[0]


def test_a_build_arg_of_ones_own_changes_no_namespace_of_caches(build):
    mark = uuid4().hex
    build("victim", f"{BASE}RUN --mount=type=cache,id={mark},target=/c echo '{SECRET}' >/c/x\n")
    argument = f"ARG BUILDKIT_CACHE_MOUNT_NS=victim\n{BASE}ARG BUILDKIT_CACHE_MOUNT_NS=victim\n"
    with pytest.raises(FailedPrecondition) as failed:
        build("mallory", f"{argument}RUN --mount=type=cache,id={mark},target=/c echo found $(ls /c) && false\n")
    assert "found x" not in failed.value.__notes__[0]


def test_nothing_is_fetched_by_the_engine_itself(build):
    for line in ("ADD http://127.0.0.1:1/x /x", "ADD http://169.254.169.254/latest/meta-data/ /x"):
        with pytest.raises(InvalidArgument, match="ADD that is fetched"):
            build("mallory", f"{BASE}{line}\n")
