"""The README's tour, typed as it stands."""

from __future__ import annotations

import re
import subprocess

import pytest
from server import ROOT

BLOCK = re.compile(r"<!-- tour -->\n```sh\n(.*?)```", re.DOTALL)


def tour() -> list[str]:
    """The marked shell blocks of the README, in order."""
    return BLOCK.findall((ROOT / "README.md").read_text())


@pytest.mark.backends("process", "docker")
def test_every_command_of_the_readme_works_and_greets(server, tmp_path):
    script = "set -euo pipefail\n" + "".join(tour())
    # The reader has the default ports and /tmp to themself; the test has its server's and a folder of its own.
    script = script.replace(":8080", f":{server.api_port}").replace("/tmp/", f"{tmp_path}/")  # noqa: S108
    done = subprocess.run(
        ["bash", "-x", "-c", script],
        cwd=ROOT,
        env=server.client_env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Hello Joe") == 4
    assert "Good day Joe" in done.stdout
    assert "running" in done.stdout


def test_the_readme_marks_all_its_shell_blocks_but_the_start():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [block for block in blocks if block not in tour()] == ["make run\n"]


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_link_of_the_docs_leads_to_a_file(page):
    text = (ROOT / "docs" / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
