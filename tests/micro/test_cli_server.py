"""`micro server` hands over to the platform's code, wherever that is."""

from __future__ import annotations

import pytest


@pytest.fixture
def checkout(tmp_path):
    """Something that looks like the platform's checkout and says how it was started."""
    folder = tmp_path / "checkout"
    (folder / "platform" / "project").mkdir(parents=True)
    (folder / "manage.py").write_text("import sys\nprint(sys.argv)\n")
    return folder


def test_the_code_is_found_where_micro_server_says(stranger, checkout):
    for named in (checkout, checkout / "manage.py"):
        done = stranger.micro("server", MICRO_SERVER=str(named))
        assert done.stdout == f"['{checkout}/manage.py', 'server']\n", done.stderr


def test_the_checkouts_own_python_runs_it(stranger, checkout):
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho own python $@\n")
    python.chmod(0o755)
    assert stranger.micro("server", MICRO_SERVER=str(checkout)).stdout.startswith("own python")


def test_code_that_is_nowhere_is_one_sentence(stranger, tmp_path):
    done = stranger.micro("server", MICRO_SERVER=str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The platform's code is not here")


def test_arguments_it_does_not_know_show_its_help(stranger, checkout):
    done = stranger.micro("server", "now", MICRO_SERVER=str(checkout))
    assert done.returncode == 1
    assert "micro server -" in done.stderr
