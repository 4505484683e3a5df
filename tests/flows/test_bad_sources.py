"""What cannot run ends with the reason, and what ran before goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from server import Server, eventually

pytestmark = pytest.mark.backends("process", "docker")
GOOD = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"version one")
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
BAD = {
    "cannot build": (
        {"requirements.txt": "no-such-package-of-micro==99.99\n", "main.py": GOOD},
        "no-such-package-of-micro",
    ),
    "crashes at start": (
        {"main.py": "raise SystemExit('the moon is in the wrong phase')\n"},
        "moon is in the wrong phase",
    ),
    "never listens": ({"main.py": "import time\nwhile True: time.sleep(1)\n"}, "does not answer on $PORT"),
}


def on_processes(*values: str) -> ParameterSet:
    """An example that would say nothing new on Docker."""
    return pytest.param(*values, marks=pytest.mark.backends("process"))


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("case", ["cannot build", "crashes at start", on_processes("never listens")])
def test_a_bad_update_ends_in_error_with_the_reason_while_the_old_version_serves(server: Server, tmp_path, case):
    folder = tmp_path / "weather"
    write(folder, {"main.py": GOOD})
    server.micro("run", folder)
    assert server.get("/weather/").text == "version one"
    files, reason = BAD[case]
    write(folder, files)
    try:
        done = server.micro("update", folder, check=False)
        assert done.returncode == 1
        assert reason in done.stderr
        assert "Traceback (most recent call last)" not in done.stderr.split("main.py")[0]
        assert server.status("weather") == "error"
        assert server.get("/weather/").text == "version one"
    finally:
        server.micro("kill", "weather")


@pytest.mark.parametrize("case", [on_processes("cannot build"), "crashes at start", on_processes("never listens")])
def test_a_bad_first_deployment_leaves_nothing_behind_when_it_is_killed(server: Server, tmp_path, case):
    folder = tmp_path / "doomed"
    write(folder, BAD[case][0])
    assert server.micro("run", folder, check=False).returncode == 1
    assert server.status("doomed") == "error"
    assert server.get("/doomed/").status_code == 404
    server.micro("kill", "doomed")
    eventually(lambda: server.replicas("doomed") == [], 15, "no process is left")
    eventually(lambda: not [p for p in server.home.rglob("*doomed*") if "logs" not in p.parts], 10, "no file is left")


def test_a_folder_with_nothing_to_run_says_what_was_looked_for(server, tmp_path):
    folder = tmp_path / "empty"
    write(folder, {"notes.txt": "nothing here"})
    done = server.micro("run", folder, check=False)
    assert done.returncode == 1
    assert "Procfile" in done.stderr
    assert "main.py" in done.stderr
    server.micro("kill", "empty", check=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{git}/no-such-repository.git", "no-such-repository"),
        ("https://169.254.169.254/latest/meta-data.git", "169.254.169.254"),
        on_processes("https://10.0.0.1/a/b.git", "10.0.0.1"),
        on_processes("http://127.0.0.1:1/a/b.git", "127.0.0.1:1"),
        on_processes("file:///etc", "file"),
        on_processes("ext::sh -c id", "ext::"),
        on_processes("/no/such/folder", "/no/such/folder"),
    ],
)
def test_a_source_that_may_not_or_cannot_be_fetched_is_named(server, git, url, reason):
    url = url.format(git=git.port)
    done = server.micro("run", url, check=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    name = url.rstrip("/").rpartition("/")[2].removesuffix(".git")
    server.micro("kill", name, check=False)
    assert server.status(name) == ""
