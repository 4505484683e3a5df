"""The Docker engine that tests lean on: brought up with the images that builds start from, or a skip that says how."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

ENGINE = Path(__file__).parent / "engine"
LABEL = "--label=micro.tests=yes"  # as tests/engine/up says it


def own() -> psutil.Process | None:
    """The engine that a tests/engine/up started; one that somebody else did is not ours to kill."""
    found = psutil.process_iter(["name", "cmdline"])
    return next((one for one in found if one.info["name"] == "dockerd" and LABEL in (one.info["cmdline"] or ())), None)


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
