"""Attacks on a running server, by a second tenant, a stranger, a service or a web page. They share a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOWS = Path(__file__).parents[1] / "flows"
sys.path[:0] = [str(Path(__file__).parent), str(FLOWS), str(Path(__file__).parents[1])]

from gitserver import GitServer, git_server  # noqa: E402 - the folders above make ours importable
from server import Server, running_server  # noqa: E402

MALLORYS_SECRET = "a long secret of mallory's"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An attack is a story, too."""
    here = Path(__file__).parent
    for item in [item for item in items if here in item.path.parents]:
        item.add_marker(pytest.mark.flow)


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A git server over smart HTTP that the attacked server may fetch from."""
    with git_server(tmp_path_factory.mktemp("git")) as serving:
        yield serving


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory, git: GitServer) -> Iterator[Server]:
    """The server that is attacked, as its operator sees it; its services are processes."""
    settings = {"MICRO_START_TIMEOUT": "10s", "MICRO_GIT_ALLOW_HOSTS": f"127.0.0.1:{git.port}"}
    with running_server(tmp_path_factory.mktemp("attacked"), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def mallory(attacked: Server) -> Server:
    """The attacked server as its worst tenant sees it, the owner of the namespace `mallory`."""
    return attacked.user_of("mallory", secret=MALLORYS_SECRET)
