"""Processes of ours are killed hard in the middle of a deploy; it ends, once, and what runs goes on."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from load import Load
from server import MICRO, ROOT, Server, eventually

SLOW_START = "import time; time.sleep(3)\n"


@pytest.fixture
def bystander(server: Server, tmp_path: Path):
    """A service that runs already and has nothing to do with the deploy."""
    folder = tmp_path / "bystander"
    shutil.copytree(ROOT / "examples" / "web", folder)
    server.micro("run", folder)
    yield f"http://127.0.0.1:{server.api_port}/bystander/"
    server.micro("kill", "bystander")


@pytest.mark.parametrize("victim", ["celery", "manage.py runner"])
@pytest.mark.parametrize("step", ["building", "starting"])
def test_a_deploy_survives_the_death_of_worker_and_runner(server: Server, bystander: str, tmp_path: Path, victim: str, step: str):
    folder = tmp_path / "survivor"
    shutil.copytree(ROOT / "examples" / "web", folder)
    server.micro("run", folder)
    entry = next(folder.glob("*.py"))
    entry.write_text(entry.read_text().replace("import ", SLOW_START + "import ", 1) if "__future__" not in entry.read_text() else entry.read_text().replace("\n\nimport ", "\n\n" + SLOW_START + "import ", 1))
    (folder / "requirements.txt").write_text("httpbin\n" if step == "building" else "")
    url = f"http://127.0.0.1:{server.api_port}/survivor/"
    with Load(bystander, rate=25) as steady, Load(url, rate=25) as old:
        update = subprocess.Popen([MICRO, "update", folder], cwd=ROOT, env=server.client_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        eventually(lambda: server.status("survivor") in {step, "running", "error"}, 60, f"the deploy reaches {step}")
        for process in server.named(victim):
            process.kill()
        killed = time.monotonic()
        eventually(lambda: server.status("survivor") in {"running", "error"}, 120, "the deploy ends")
        update.communicate(timeout=max(1.0, killed + 120 - time.monotonic()))
        eventually(lambda: len(server.replicas("survivor")) == 1, 30, "one replica is left")
    assert steady.failures == []
    assert old.failures == []
    server.micro("kill", "survivor")
    eventually(lambda: server.replicas("survivor") == [], 15, "nothing is left")
