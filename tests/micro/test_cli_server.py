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


def test_the_state_is_removed_by_the_platforms_code(stranger, checkout):
    done = stranger.micro("server", "--reset", "--yes", MICRO_SERVER=str(checkout))
    assert done.stdout == f"['{checkout}/manage.py', 'server', '--reset', '--yes']\n", done.stderr


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


@pytest.fixture
def left(tmp_path):
    """A state folder that a server has held, which no longer runs."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "server.lock").write_text("1")
    return folder


def test_shutdown_says_what_the_code_says_that_a_killed_server_left(stranger, checkout, left):
    (checkout / "manage.py").write_text("import os, sys\nprint(sys.argv[1:], os.environ['MICRO_HOME'])\n")
    done = stranger.micro("shutdown", MICRO_SERVER=str(checkout), MICRO_HOME=str(left))
    assert (done.returncode, done.stdout) == (0, f"['server', '--end-leftovers'] {left}\n")


def test_shutdown_without_the_code_names_where_to_say_it(stranger, left, tmp_path):
    done = stranger.micro("shutdown", MICRO_SERVER=str(tmp_path / "nowhere"), MICRO_HOME=str(left))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"No server runs on {left}. ")
    assert "MICRO_SERVER" in done.stderr


def test_shutdown_passes_on_why_leftovers_cannot_be_ended(stranger, checkout, left):
    (checkout / "manage.py").write_text("import sys\nsys.exit('The disk is full.')\n")
    done = stranger.micro("shutdown", MICRO_SERVER=str(checkout), MICRO_HOME=str(left))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("could not be ended: The disk is full.\n")
