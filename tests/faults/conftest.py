"""Servers to break, one for each backend, and the table of what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "flows"), str(Path(__file__).parents[1])]

import engines  # noqa: E402 - the folders above make ours importable
import httpx  # noqa: E402
from gitserver import GitServer, git_server  # noqa: E402
from server import Server, running_server  # noqa: E402
from table import rendered  # noqa: E402
from target import Target  # noqa: E402

OUTCOMES = pytest.StashKey[list]()
SETTINGS = {"MICRO_DRAIN_TIME": "2s", "MICRO_START_TIMEOUT": "20s"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table at the end."""
    if outcomes := config.stash.get(OUTCOMES, []):
        terminalreporter.section("processes killed at each step of a deploy")
        terminalreporter.write_line(rendered(outcomes))


@pytest.fixture(scope="session")
def outcomes(pytestconfig: pytest.Config) -> list:
    """Where the outcomes are gathered."""
    return pytestconfig.stash.setdefault(OUTCOMES, [])


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A git server over smart HTTP."""
    with git_server(tmp_path_factory.mktemp("git")) as serving:
        yield serving


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory, repositories: GitServer) -> Iterator[Target]:
    """A service of plain processes."""
    allowed = {"MICRO_GIT_ALLOW_HOSTS": f"127.0.0.1:{repositories.port}"}
    with running_server(tmp_path_factory.mktemp("processes"), **SETTINGS, **allowed) as server:
        yield Target(server, repositories, api_token(server))


@pytest.fixture(scope="session")
def boxes(
    tmp_path_factory: pytest.TempPathFactory, repositories: GitServer, pytestconfig: pytest.Config
) -> Iterator[Target]:
    """A service of containers."""
    engines.require(pytestconfig)
    allowed = {"MICRO_GIT_ALLOW_HOSTS": f"127.0.0.1:{repositories.port}"}
    chosen = {"MICRO_BACKEND": "docker", "MICRO_UNSAFE_BUILD_HOST_NETWORK": "1"}
    with running_server(tmp_path_factory.mktemp("boxes"), **SETTINGS, **allowed, **chosen) as server:
        yield Target(server, repositories, api_token(server))


def api_token(server: Server) -> str:
    """A token for REST that outlives the run."""
    request = {"id": "admin", "secret": "micro", "options": {"namespace": "micro"}}
    login = server.call("auth", "Auth.Token", request)["token"]["access_token"]  # type: ignore[index]
    answer = httpx.post(
        f"http://127.0.0.1:{server.web_port}/v1/api-tokens",
        json={"name": "faults", "role": "admin", "expires_in_days": 1},
        headers={"Authorization": f"Bearer {login}"},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])
