"""The client's wheel, installed as a stranger installs it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The `bin` of a clean environment with the wheel, and nothing that pip had to build."""
    folder = tmp_path_factory.mktemp("clean")
    wheel = next((Path(sys.prefix) / "share" / "micro").glob("*.whl"))
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", wheel]
    subprocess.run(pip, check=True)
    return folder / "bin"


def run(installed: Path, home: Path, *args: object) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(home), "PATH": f"{installed}:{os.environ['PATH']}", "LANG": "C.UTF-8"}
    return subprocess.run(
        [installed / args[0], *map(str, args[1:])], env=env, cwd=home, capture_output=True, text=True, check=False
    )


def test_the_wheel_brings_no_django_and_few_packages(installed, tmp_path):
    listed = run(installed, tmp_path, "pip", "list", "--format=freeze", "--disable-pip-version-check").stdout.lower()
    names = {line.partition("==")[0] for line in listed.splitlines()}
    assert "django" not in names
    assert {"micro", "click", "grpcio", "protobuf"} <= names
    assert len(names - {"pip", "setuptools"}) <= 10


def test_every_command_of_the_wheel_has_its_modules_and_its_templates(installed, tmp_path):
    from micro.cli.help import COMMANDS

    for command in COMMANDS:
        done = run(installed, tmp_path, "micro", command, "--help")
        assert (done.returncode, done.stderr) == (0, ""), command
    for language in ("python", "go", "node"):
        assert run(installed, tmp_path, "micro", "new", f"a-{language}", "--lang", language).returncode == 0
    assert run(installed, tmp_path, "micro", "completion", "bash").returncode == 0
    assert "no micro server" not in run(installed, tmp_path, "micro", "doctor").stderr
    tested = run(installed, tmp_path / "a-python", "python", "-m", "unittest")
    assert tested.returncode == 0, tested.stderr


def test_the_wheel_knows_the_comments_of_the_platforms_protos(installed, tmp_path):
    from micro import comments

    script = "from micro import comments; print(len(comments.ours()))"
    assert run(installed, tmp_path, "python", "-c", script).stdout == f"{len(comments.ours())}\n"
