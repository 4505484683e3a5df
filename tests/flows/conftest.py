"""The stories share one server; those that break it start one of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from gitserver import GitServer, git_server  # noqa: E402 - the folders above make it importable
from server import Server, running_server  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a flow."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flow)


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A git server over smart HTTP that the shared server may fetch from."""
    with git_server(tmp_path_factory.mktemp("git")) as serving:
        yield serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, git: GitServer) -> Iterator[Server]:
    """A running server with an admin logged in."""
    settings = {"MICRO_START_TIMEOUT": "10s", "MICRO_GIT_ALLOW_HOSTS": f"127.0.0.1:{git.port}"}
    with running_server(tmp_path_factory.mktemp("server"), **settings) as running:
        yield running
