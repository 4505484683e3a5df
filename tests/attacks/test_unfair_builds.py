"""Builds of one tenant that never end, and what another tenant waits for meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, eventually

SLEEPERS = 9
SLEEPING = {
    "Procfile": "web: python -m http.server $PORT\n",
    "requirements.txt": "./slow\n",
    "slow/slow.py": "import time\ndef build_wheel(*args, **kwargs): time.sleep(120)\n",
    "slow/pyproject.toml": "[build-system]\nrequires=[]\nbuild-backend='slow'\nbackend-path=['.']\n",
}
WAITING = "waiting for a build slot of this namespace (2 of 2 in use)"


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def sleepers(mallory: Server, tmp_path: Path) -> Iterator[list[str]]:
    """Services whose builds sleep, all sent; killed at the end."""
    folder = written(tmp_path / "sleeping", SLEEPING)
    names = [f"sleeper{number}" for number in range(SLEEPERS)]
    for name in names:
        mallory.micro("run", "--detach", "--name", name, folder)
    yield names
    for name in names:
        mallory.micro("kill", name)


def building(server: Server, names: list[str]) -> int:
    """How many of the services are being built."""
    table = server.micro("status").stdout.splitlines()
    return sum(row.split("\t")[3] == "building" for row in table if row.split("\t")[0] in names)


def neighbours_deploy_s(attacked: Server, folder: Path) -> float:
    """How long a neighbour's smallest deployment takes."""
    written(folder, {"Procfile": "web: python -m http.server $PORT\n"})
    began = time.monotonic()
    attacked.micro("run", "--name", "neighbour", folder, timeout_s=60)
    took_s = time.monotonic() - began
    attacked.micro("kill", "neighbour")
    return took_s


def test_nine_builds_that_sleep_hold_two_slots_and_a_neighbours_build_goes_past_them(
    attacked: Server, mallory: Server, sleepers: list[str], tmp_path: Path
):
    eventually(lambda: building(mallory, sleepers) == 2, 30, "two of them build")
    assert neighbours_deploy_s(attacked, tmp_path / "neighbour") < 60
    assert building(mallory, sleepers) == 2
    assert mallory.micro("status").stdout.count(WAITING) == SLEEPERS - 2


def test_who_deploys_the_same_services_again_and_again_has_no_further_workers(
    attacked: Server, mallory: Server, sleepers: list[str], tmp_path: Path
):
    eventually(lambda: building(mallory, sleepers) == 2, 30, "two of them build")
    for name in sleepers:
        mallory.micro("redeploy", name, "--detach")
        assert building(mallory, sleepers) <= 2
    assert neighbours_deploy_s(attacked, tmp_path / "neighbour") < 60
