"""A Docker engine with base images; where there can be none, these tests are skipped and say what would start one."""

# ruff: noqa: E402

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import engines
from containing import SERVE, make_launch

from runtime.backends import Launch, containers, engine, firewall, networks
from runtime.backends.docker import Docker


@pytest.fixture(scope="session")
def docker_engine(pytestconfig: pytest.Config) -> docker.DockerClient:
    """An engine that answers, with the images that builds start from."""
    engines.require(pytestconfig)
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
    firewall.remove(firewall.Wall(server_id, networks.bridges(server_id), (), 0))
    for network in docker_engine.networks.list(filters=mine):
        network.remove()
    for image in docker_engine.images.list(filters={"reference": f"micro-{server_id}/*"}):
        docker_engine.images.remove(image.tags[0], force=True)


@pytest.fixture
def backend(server, settings) -> Docker:
    settings.MICRO_NETWORK_ADDRESS = ("127.0.0.1", 28443)
    return Docker()


@pytest.fixture
def launch(tmp_path) -> Callable[..., Launch]:
    def make(script: str = SERVE, *, namespace: str = "acme", index: int = 0) -> Launch:
        return make_launch(tmp_path, script, namespace=namespace, index=index)

    return make
