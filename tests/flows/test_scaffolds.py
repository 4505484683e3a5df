"""What `micro new` makes passes its own tests and runs as it stands, with its author's words in the commands' help."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from server import MICRO

TESTS = {
    "python": [sys.executable, "-m", "unittest"],
    "go": ["go", "test", "./..."],
    "node": ["sh", "-c", "npm install --no-audit --no-fund && npm test"],
}


@pytest.mark.parametrize("language", sorted(TESTS))
def test_a_new_service_is_tested_runs_and_answers(server, tmp_path, language):
    name = f"new-{language}"
    server.micro("new", name, "--lang", language, cwd=tmp_path)
    # The tests need what every developer of the language has: its caches below their home.
    tested = subprocess.run(
        TESTS[language], cwd=tmp_path / name, capture_output=True, text=True, timeout=300, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
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
        assert "Greets by name." in server.micro(name, "--help").stderr
        assert "--name string Who is greeted." in " ".join(server.micro(name, "call", "--help").stderr.split())
    finally:
        server.micro("kill", name)
