"""The stories share a server for each backend; those that break it start one of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import engines  # noqa: E402 - the folders above make ours importable
from docker_server import DockerServer  # noqa: E402
from gitserver import GitServer, git_server  # noqa: E402
from server import Server, running_server  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a flow; one runs on the backends that all of its `backends` markers name."""
    here = Path(__file__).parent
    for item in [item for item in items if here in item.path.parents]:
        item.add_marker(pytest.mark.flow)
        if (backend := chosen(item)) and any(backend not in marker.args for marker in item.iter_markers("backends")):
            items.remove(item)


def chosen(item: pytest.Item) -> str:
    """The backend that a test is parametrized with; blank when it runs on the usual one."""
    return item.callspec.params.get("backend", "") if hasattr(item, "callspec") else ""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A story whose marker names backends is told once on each, on the first of them every day."""
    marker = metafunc.definition.get_closest_marker("backends")
    if marker and "backend" in metafunc.fixturenames:
        first, *others = marker.args
        backends = [first, *(pytest.param(other, marks=pytest.mark.extended) for other in others)]
        metafunc.parametrize("backend", backends, indirect=True, scope="session")


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A git server over smart HTTP that the shared server may fetch from."""
    with git_server(tmp_path_factory.mktemp("git")) as serving:
        yield serving


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """The backend of the test's server: what its marker names, else plain processes."""
    name = getattr(request, "param", "process")
    if name == "docker":
        engines.require(request.config)
    return name


@pytest.fixture(scope="session")
def process_server(tmp_path_factory: pytest.TempPathFactory, git: GitServer) -> Iterator[Server]:
    """A running server with an admin logged in; its services are processes."""
    settings = {"MICRO_START_TIMEOUT": "10s", "MICRO_GIT_ALLOW_HOSTS": f"127.0.0.1:{git.port}"}
    settings["MICRO_ALLOWED_ORIGINS"] = "https://a.example"
    with running_server(tmp_path_factory.mktemp("server"), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def docker_server(tmp_path_factory: pytest.TempPathFactory, git: GitServer) -> Iterator[DockerServer]:
    """The same with containers, of which none outlives it."""
    settings = {"MICRO_GIT_ALLOW_HOSTS": f"127.0.0.1:{git.port}", "MICRO_ALLOWED_ORIGINS": "https://a.example"}
    with running_server(tmp_path_factory.mktemp("docker"), kind=DockerServer, **settings) as running:
        yield running
        running.stop()
        assert not running.containers(), "Containers outlived the server."


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, backend: str) -> Server:
    """The shared server of the test's backend."""
    return request.getfixturevalue(f"{backend}_server")
