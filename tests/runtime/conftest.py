"""What the runtime's tests lean on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gitserver import git_server  # noqa: E402


@pytest.fixture
def git(tmp_path, settings):
    """A git server whose address is on the allow list."""
    root = tmp_path / "repositories"
    root.mkdir()
    with git_server(root) as server:
        settings.MICRO_GIT_ALLOW_HOSTS = (f"127.0.0.1:{server.port}",)
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path, settings):
    """A state folder of the test's own."""
    settings.MICRO_HOME = tmp_path / "home"
    return tmp_path / "home"
