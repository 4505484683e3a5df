"""An update under load fails no request; a kill is complete."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from load import Load
from server import MICRO, ROOT, Server, anywhere, eventually

pytestmark = pytest.mark.backends("process", "docker")

SLOW_BUILD = "import subprocess\ndef build_wheel(*args): subprocess.run(['sleep', '%s'])\n"


@pytest.fixture
def greeter(server: Server, tmp_path: Path):
    """A running copy of the example, in a folder that a test may edit."""
    folder = tmp_path / "greeter"
    shutil.copytree(ROOT / "examples" / "helloworld", folder)
    main = folder / "main.py"
    main.write_text(
        main.read_text()
        .replace('Service("helloworld")', 'Service("greeter")')
        .replace("class Helloworld", "class Greeter")
        .replace("Helloworld()", "Greeter()")
    )
    server.micro("run", folder)
    yield folder
    server.micro("kill", "greeter", check=False)


def test_an_update_under_load_brings_the_new_version_and_fails_no_request(server, greeter):
    url = f"http://127.0.0.1:{server.api_port}/greeter?name=Joe"
    main = greeter / "main.py"
    with Load(url, rate=50) as load:
        eventually(lambda: len(load.answers) == 1 and load.answers.total() > 50, 10, "the old version answers")
        main.write_text(main.read_text().replace("Hello ", "Good day "))
        server.micro("update", greeter)
        assert server.get("/greeter?name=Joe").json() == {"msg": "Good day Joe"}
        before = load.answers.total()
        eventually(lambda: load.answers.total() > before + 400, 20, "the load goes on over the drain")
    assert load.failures == []
    assert len(load.answers) == 2
    eventually(lambda: len(server.replicas("greeter")) == 1, 20, "the old replica is stopped")


def test_a_killed_service_is_gone_from_everywhere_within_five_seconds(server, greeter):
    replicas = server.replicas("greeter")
    assert replicas
    assert server.micro("kill", "greeter").stdout == ""
    eventually(lambda: server.status("greeter") == "", 5, "gone from status")
    eventually(lambda: "greeter" not in server.micro("services").stdout.split(), 5, "gone from services")
    eventually(lambda: server.get("/greeter?name=Joe").status_code == 404, 5, "gone from the gateway")
    eventually(lambda: not any(replica.is_running() for replica in replicas), 15, "its processes are gone")
    eventually(lambda: server.replicas("greeter") == [], 15, "its replicas are gone")


def test_killing_a_service_that_is_not_there_says_so(server):
    done = server.micro("kill", "nosuch", check=False)
    assert done.returncode == 127
    assert "not found" in done.stderr.lower()


def test_a_build_is_cancelled_from_the_command_line_and_what_ran_before_goes_on(server, tmp_path):
    folder, mark = tmp_path / "cancelled", f"600.{secrets.randbelow(10**9)}"
    shutil.copytree(ROOT / "examples" / "web", folder)
    server.micro("run", folder)
    before = server.get("/cancelled/").text
    (folder / "slow").mkdir()
    (folder / "slow" / "slow.py").write_text(SLOW_BUILD % mark)
    backend = "[build-system]\nrequires = []\nbuild-backend = 'slow'\nbackend-path = ['.']\n"
    (folder / "slow" / "pyproject.toml").write_text(backend)
    (folder / "requirements.txt").write_text("./slow\n")
    waiting = subprocess.Popen(
        [MICRO, "update", folder], cwd=ROOT, env=server.client_env, stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: server.status("cancelled") == "building", 60, "it builds")
    eventually(lambda: anywhere(mark), 60, "the dependency is being built")
    done = server.micro("cancel", "cancelled")
    assert done.stderr == "The deployment of cancelled is cancelled.\n"
    _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert said.endswith("cancelled was not deployed: Cancelled by admin.\nRelease 1 goes on serving.\n")
    eventually(lambda: not anywhere(mark), 10, "the build's processes are gone")
    assert server.status("cancelled") == "running"
    assert server.get("/cancelled/").text == before
    again = server.micro("cancel", "cancelled", check=False)
    assert again.returncode == 1
    assert "There is nothing to cancel" in again.stderr
    server.micro("kill", "cancelled")
