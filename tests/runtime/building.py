"""Building in tests: sources as they were fetched, what is built of them in place, and a Node source with its locks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from micro.errors import FailedPrecondition
from runtime import builds
from runtime.attempts import Attempt
from runtime.builds.plans import Artifact
from runtime.sources import Fetched

INDEX_JS = "console.log('in ms', require('ms')('1s'))\n"
SHA512 = "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA=="
PNPM_7 = f"""lockfileVersion: 5.4

specifiers:
  ms: 2.1.3

dependencies:
  ms: 2.1.3

packages:

  /ms/2.1.3:
    resolution: {{integrity: {SHA512}}}
    dev: false
"""


def package(**more: object) -> str:
    """The package.json of a source that needs one package and runs `INDEX_JS`."""
    start = {"name": "x", "dependencies": {"ms": "2.1.3"}, "scripts": {"start": "node index.js"}}
    return json.dumps(start | more)


def write_source(folder: Path, files: dict[str, str]) -> Fetched:
    """A source of these files, as private as the archives of the command line are unpacked."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return Fetched(folder, "", "sha256:0")


def build_in_place(source: Fetched, attempt: Attempt) -> Artifact:
    """What becomes of a source; where this machine has no toolchain for it, the test is skipped with the way out."""
    try:
        plan = builds.plan(source)
    except FailedPrecondition as missing:
        pytest.skip(missing.detail)
    return builds.build(source, plan, attempt)


def printed_by(source: Fetched, attempt: Attempt) -> str:
    """What a source, built in place, prints when it is started."""
    command = build_in_place(source, attempt).command
    return subprocess.run(command, cwd=source.path, capture_output=True, text=True, check=True, env={}).stdout
