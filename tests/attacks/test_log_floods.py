"""A tenant whose services print as fast as they can, and the lines of a neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, eventually

LOUD, LOUD_MIB = 3, 30
KEPT_MIB = 64  # of a namespace, by default
SERVE = """
import http.server, os
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.BaseHTTPRequestHandler).serve_forever()
"""
FLOOD = f"""
import sys
for number in range({LOUD_MIB}):
    sys.stdout.write(("x" * 1023 + chr(10)) * 1024)
    sys.stdout.flush()
print("the end of the flood", flush=True)
"""


def run(server: Server, folder: Path, name: str, words: str) -> None:
    folder.mkdir()
    (folder / "main.py").write_text(words + SERVE)
    (folder / "Procfile").write_text("web: python main.py\n")
    server.micro("run", "--name", name, folder)


@pytest.fixture
def flood(attacked: Server, mallory: Server, tmp_path: Path) -> Iterator[list[str]]:
    """A neighbour's service that has said one thing, then services of mallory's that print 90 MiB."""
    run(attacked, tmp_path / "quiet", "quiet", "print('said once', flush=True)\n")
    eventually(lambda: "said once" in attacked.micro("logs", "quiet").stdout, 10, "it is said")
    names = [f"loud{number}" for number in range(LOUD)]
    for name in names:
        run(mallory, tmp_path / name, name, FLOOD)
    yield names
    for name in names:
        mallory.micro("kill", name)
    attacked.micro("kill", "quiet")


def kept_mib(server: Server, namespace: str) -> float:
    """What is kept on disk of a namespace's logs."""
    files = [file for folder in server.home.glob(f"nats/**/logs-{namespace}") for file in folder.rglob("*.blk")]
    return sum(file.stat().st_size for file in files) / (1 << 20)


def test_a_flood_of_lines_pushes_out_none_of_a_neighbours_and_is_itself_bounded(
    attacked: Server, mallory: Server, flood: list[str], tmp_path: Path
):
    run(attacked, tmp_path / "late", "late", "print('said meanwhile', flush=True)\n")
    eventually(lambda: "said meanwhile" in attacked.micro("logs", "late").stdout, 20, "a neighbour's line goes past it")
    attacked.micro("kill", "late")
    for name in flood:
        eventually(lambda name=name: "the end of" in mallory.micro("logs", name).stdout, 60, f"{name} is published")
    assert "said once" in attacked.micro("logs", "quiet").stdout
    assert 0 < kept_mib(attacked, "mallory") < KEPT_MIB + 10  # blocks on disk are cleared a little later
