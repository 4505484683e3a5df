"""Processes of ours are killed hard in the middle of a deploy; it ends, once, and what runs goes on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from load import Load
from server import MICRO, ROOT, Server, eventually


@pytest.fixture
def bystander(server: Server, tmp_path: Path):
    """A service that runs already and has nothing to do with the deploy."""
    folder = tmp_path / "bystander"
    shutil.copytree(ROOT / "examples" / "web", folder)
    server.micro("run", folder)
    yield f"http://127.0.0.1:{server.api_port}/bystander/"
    server.micro("kill", "bystander")


SLOW_BUILD = {
    "requirements.txt": "./slow\n",
    "slow/setup.py": "import time; time.sleep(4)\nfrom setuptools import setup\nsetup(name='slow', version='1')\n",
}


def slow_down(folder: Path, step: str) -> None:
    """Change the service so that its next deployment stays a few seconds in `step`."""
    if step == "building":
        (folder / "slow").mkdir()
        for name, text in SLOW_BUILD.items():
            (folder / name).write_text(text)
    else:
        (folder / "slow.py").write_text("import time\ntime.sleep(4)\n")
        procfile = folder / "Procfile"
        procfile.write_text(procfile.read_text().replace("web: ", "web: python slow.py && exec "))


@pytest.mark.parametrize("victim", ["celery", "manage.py runner"])
@pytest.mark.parametrize("step", ["building", "starting"])
def test_a_deploy_survives_the_death_of_worker_and_runner(
    server: Server, bystander: str, tmp_path: Path, victim: str, step: str
):
    folder = tmp_path / "survivor"
    shutil.copytree(ROOT / "examples" / "web", folder)
    server.micro("run", folder)
    slow_down(folder, step)
    command = [MICRO, "update", "--detach", folder]
    with Load(bystander, rate=25) as steady, Load(f"http://127.0.0.1:{server.api_port}/survivor/", rate=25) as old:
        subprocess.run(command, cwd=ROOT, env=server.client_env, check=True, capture_output=True)
        eventually(lambda: server.status("survivor") == step, 60, f"the deploy is {step}")
        victims = server.named(victim)
        for process in victims:
            process.kill()
        eventually(lambda: server.status("survivor") in {"running", "error"}, 120, "the deploy ends")
        eventually(lambda: len(server.replicas("survivor")) == 1, 30, "one replica is left")
    assert victims
    assert server.status("survivor") == "running"
    assert steady.failures == []
    assert old.failures == []
    server.micro("kill", "survivor")
    eventually(lambda: server.replicas("survivor") == [], 15, "nothing is left")
