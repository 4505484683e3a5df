"""The Docker engine that tests lean on: brought up with the images that builds start from, or a skip that says how."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ENGINE = Path(__file__).parent / "engine"
LABEL = "--label=micro.tests="  # then the checkout, as tests/engine/up says it


def own() -> psutil.Process | None:
    """The engine that a tests/engine/up started; one that somebody else did is not ours to kill."""
    return next((one for one, _ in _running()), None)


def of_this_checkout() -> psutil.Process | None:
    """The engine that this checkout's tests/engine/up started; other checkouts may still use the others."""
    return next((one for one, checkout in _running() if checkout == str(ENGINE.parents[1])), None)


def _running() -> Iterator[tuple[psutil.Process, str]]:
    """The engines that run for tests, each with its checkout."""
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or ()
        if process.info["name"] == "dockerd" and (said := next((word for word in words if word.startswith(LABEL)), "")):
            yield process, said.removeprefix(LABEL)


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
