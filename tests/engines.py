"""The Docker engine that tests lean on: brought up with the images that builds start from, or a skip that says how."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

ENGINE = Path(__file__).parent / "engine"


def own() -> psutil.Process | None:
    """The engine that tests/engine/up started; one that somebody else did is not ours to kill."""
    record = Path(__file__).parents[1] / ".cache" / "engine" / "dockerd.pid"
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        process = psutil.Process(int(record.read_text()))
        if process.name() == "dockerd":
            return process
    return None


def require(config: pytest.Config) -> None:
    """Return when an engine answers and has the base images; what has to be done for it is shown as it is done.

    Skips the test where there can be none, with the command that starts one.
    """
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        up = subprocess.run([ENGINE / "up"], stderr=subprocess.PIPE, text=True, check=False)
        if up.returncode == 0:
            subprocess.run([ENGINE / "images"], check=True)
    if up.returncode == 3:
        pytest.skip(up.stderr.strip())
    assert up.returncode == 0, up.stderr
