"""What `micro new` makes passes its own tests and runs as it stands, with its author's words in the commands' help."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from server import MICRO, ROOT, Server

from runtime.backends import bubblewrap

TESTS = {
    "python": [sys.executable, "-m", "unittest"],
    "go": ["go", "test", "./..."],
    "node": ["sh", "-c", "npm install --no-audit --no-fund && npm test"],
}


def builds_cache_folder(server: Server) -> Path:
    """Where the builds of the namespace `micro` keep what is Go's."""
    return server.home / "caches" / "micro" / "go"


def builds_cache(server: Server) -> dict[str, str]:
    """Where the server's builds keep what Go has compiled: gRPC takes it half a minute, which once is enough of."""
    cache = builds_cache_folder(server)
    return {"GOMODCACHE": str(cache / "modules"), "GOCACHE": str(cache / "built"), "GOFLAGS": "-trimpath -modcacherw"}


def require_toolchain(language: str) -> None:
    """Skip where the machine lacks it, as `tests/tools` says, and where Go is older than its gRPC."""
    program = {"python": "python3", "node": "npm"}.get(language, language)
    if not shutil.which(program):
        pytest.skip(f"{program} is missing: install it, or as root on Debian say make tools")
    if language == "go":
        version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
        if int(version.removeprefix("go1.").partition(".")[0]) < 24:
            pytest.skip(f"{version} is too old: 1.24 is needed")


@pytest.mark.parametrize("language", sorted(TESTS))
def test_a_new_service_is_tested_runs_and_answers(server, tmp_path, language):
    require_toolchain(language)
    name = f"new-{language}"
    server.micro("new", name, "--lang", language, cwd=tmp_path)
    tested = subprocess.run(
        TESTS[language], cwd=tmp_path / name, env=os.environ | builds_cache(server),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr
    if bubblewrap.works() and bubblewrap.switches_user() and language == "go":  # what we have put there is the builds'
        own = f"{bubblewrap.USER}:{bubblewrap.USER}"
        subprocess.run(["chown", "-R", own, builds_cache_folder(server).parent], check=True)
    server.micro("run", name, cwd=tmp_path, timeout_s=300)
    try:
        assert json.loads(server.micro(name, "call", "--name=Joe").stdout) == {"msg": "Hello Joe"}
        counted = server.micro(name, "stream", "--count=3", "--output=raw").stdout
        assert [json.loads(line) for line in counted.splitlines()] == [{"count": str(n)} for n in (1, 2, 3)]
        strokes = subprocess.run(
            [MICRO, name, "pingPong", "--output=raw"],
            input='{"stroke": 1}\n{"stroke": 2}\n',
            env=server.client_env, capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
        assert [json.loads(line)["stroke"] for line in strokes.splitlines()] == ["1", "2"]
        assert "Greets by name." in server.micro(name, "--help").stdout
        assert "--name string Who is greeted." in " ".join(server.micro(name, "call", "--help").stdout.split())
    finally:
        server.micro("kill", name)


def test_the_commands_of_the_docs_work_as_they_stand(server, tmp_path):
    section = (ROOT / "docs" / "calling.md").read_text().partition("## From the command line")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) >= 3
    done = subprocess.run(
        ["bash", "-exc", "".join(blocks)],
        cwd=tmp_path, env=server.client_env | {"PATH": f"{MICRO.parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    server.micro("kill", "helloworld")
    assert done.returncode == 0, done.stdout + done.stderr
    for sign in ('"msg": "Hello Joe"', '{"stroke": "2"}', "Endpoint: Helloworld.Call", "service  helloworld"):
        assert sign in done.stdout
