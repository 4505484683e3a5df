"""Envoy's bootstrap and its command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from gateway.envoy import bootstrap


def test_envoy_itself_finds_the_bootstrap_good(tmp_path: Path):
    document = bootstrap.bootstrap(node_id="n", pid=1, run=tmp_path, heap_bytes=2**30)
    file = bootstrap.write(document, tmp_path / "deep" / "bootstrap.json")
    command = [*bootstrap.command(file, concurrency=1), "--mode", "validate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


def test_the_bootstrap_says_who_envoy_is_and_is_its_owners_alone(tmp_path: Path):
    file = bootstrap.write(
        bootstrap.bootstrap(node_id="here", pid=77, run=tmp_path, heap_bytes=1), tmp_path / "bootstrap.json"
    )
    node = json.loads(file.read_text())["node"]
    assert (node["id"], node["metadata"]["pid"]) == ("here", 77)
    assert file.stat().st_mode & 0o777 == 0o600


def test_clients_have_half_of_the_files_that_envoy_may_open(tmp_path: Path):
    for files, connections in ((1000, 500), (10**6, bootstrap.CONNECTIONS)):
        document = bootstrap.bootstrap(node_id="n", pid=1, run=tmp_path, heap_bytes=1, files=files)
        _, monitor = document["overload_manager"]["resource_monitors"]
        assert monitor["typed_config"]["max_active_downstream_connections"] == connections


def test_the_program_is_found_as_a_file():
    assert bootstrap.binary().name == "envoy"
    version = subprocess.run([bootstrap.binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert "/1.40" in version
