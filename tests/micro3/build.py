"""Micro 3's own command line, and three programs on its Go libraries, compiled from the released module."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent
BINARIES = SOURCE.parents[1] / ".cache" / "micro3"


def build() -> Path:
    """The folder with `micro` and our programs; a second build only looks whether anything has changed."""
    if shutil.which("go") is None:
        pytest.skip("go is missing: install it (apt-get install golang-go).")
    BINARIES.mkdir(parents=True, exist_ok=True)
    with (BINARIES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side, and a program that runs cannot be replaced
        done = subprocess.run(
            ["go", "build", "-o", f"{BINARIES}/", "./client", "./contract", "./greeter", "github.com/micro/micro/v3"],
            check=False,
            cwd=SOURCE,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    return BINARIES
