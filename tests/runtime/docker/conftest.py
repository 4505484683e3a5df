"""A Docker engine with base images; where there can be none, these tests are skipped and say what would start one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from runtime.attempts import Attempt
from runtime.backends import containers, engine

ENGINE = Path(__file__).parents[2] / "engine"


@pytest.fixture(scope="session")
def docker_engine() -> docker.DockerClient:
    """An engine that answers, with the images that builds start from."""
    done = subprocess.run([ENGINE / "up"], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    subprocess.run([ENGINE / "images"], check=True)
    return engine.client()


@pytest.fixture
def server(home, settings, docker_engine) -> Iterator[str]:
    """The id of a server of the test's own on the engine; nothing of it is left there afterwards."""
    settings.MICRO_BACKEND = "docker"
    settings.MICRO_UNSAFE_BUILD_HOST_NETWORK = True  # no package index can be reached otherwise on a machine like CI's
    server_id = containers.server_id(settings.MICRO_HOME)
    yield server_id
    mine = {"label": f"{containers.SERVER}={server_id}"}
    for container in docker_engine.containers.list(all=True, filters=mine):
        container.remove(force=True)
    for network in docker_engine.networks.list(filters=mine):
        network.remove()
    for image in docker_engine.images.list(filters={"reference": f"micro-{server_id}/*"}):
        docker_engine.images.remove(image.tags[0], force=True)


@pytest.fixture
def attempt(tmp_path) -> Attempt:
    return Attempt("acme", uuid4(), tmp_path / "build.log", lambda: True)
