"""A tenant's source takes a parser far more time and memory than it is large, or leads it to the server's own files."""

from __future__ import annotations

import pytest
from measuring import watched
from server import eventually

MOST_MB = 150
MAIN = "import time\ntime.sleep(600)\n"
SOURCES = {
    "dotted keys": {"main.py": MAIN, "pyproject.toml": ".".join("a" * 200_000) + " = 1\n"},
    "nested json": {"main.py": MAIN, "package.json": "[" * 1_000_000},
}
MORE_SOURCES = {
    "f-strings": {"main.py": MAIN, "app.py": 'x = f"' + "{a}" * 300_000 + '"\n'},
    "a list": {"main.py": MAIN, "app.py": "x = [" + "a," * 500_000 + "]\n"},
    "a huge manifest": {"main.py": MAIN, "requirements.txt": "a\n" * 2_000_000},
}


@pytest.mark.parametrize("case", [*SOURCES, *(pytest.param(case, marks=pytest.mark.extended) for case in MORE_SOURCES)])
def test_a_source_that_explodes_in_a_parser_fails_by_itself(attacked, mallory, tmp_path, case):
    name = case.replace(" ", "-")
    for path, text in (SOURCES | MORE_SOURCES)[case].items():
        (tmp_path / path).write_text(text)
    with watched(attacked) as peaks:
        mallory.micro("run", "--name", name, str(tmp_path), check=False)
        eventually(lambda: mallory.status(name) in {"error", "starting", "running"}, 60, "the source is read")
    mallory.micro("kill", name)
    for process in peaks.most:
        assert peaks.grown(process) < MOST_MB, peaks


@pytest.mark.parametrize("manifest", ["Procfile", "pyproject.toml"])
def test_a_manifest_that_is_a_link_out_of_the_source_is_not_read(mallory, git, tmp_path, manifest):
    secret = tmp_path / "secret"
    secret.write_text("a secret word: of the operator's\n")
    name = f"link-{manifest.lower().replace('.', '-')}"
    git.commit(name, {"main.py": MAIN}, links={manifest: secret})
    told = mallory.micro("run", "--name", name, git.url(name), check=False)
    eventually(lambda: mallory.status(name) == "error", 60, "the source is refused")
    shown = told.stdout + told.stderr + mallory.micro("status", name).stdout
    mallory.micro("kill", name)
    assert f"{manifest} links to something outside of the repository" in shown
    assert "secret word" not in shown
