"""Claims about `micro server --reset`: all of one server's state goes, named beforehand, and nothing else."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from project.embedded import postgres
from project.server import leftovers, plan, reset
from project.server.errors import CannotRun


@pytest.fixture
def state(tmp_path, monkeypatch, settings) -> plan.Plan:
    """The state that a server has left: its folder, its database elsewhere (as root), the folder of its sockets."""
    monkeypatch.setattr(postgres, "OPEN_TO_ALL", tmp_path / "lib")
    settings.MICRO_HOME = tmp_path / "home"
    made = replace(plan.from_settings(), home=tmp_path / "home", run=tmp_path / "run", embedded=frozenset())
    for folder in (made.home, made.run, made.home / "builds"):
        folder.mkdir()
    (made.home / "server.lock").write_text("")
    fill(postgres.cluster(made.home))
    return made


def fill(cluster: Path) -> Path:
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("18")
    return cluster


def asked(made: plan.Plan, *, is_confirmed: bool = True) -> list[str]:
    said: list[str] = []
    reset.run(made, is_confirmed=is_confirmed, say=said.append)
    return [line.strip() for line in said]


def test_every_folder_is_named_and_removed_and_nothing_else(state, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    others = fill(postgres.cluster(other))
    cluster = postgres.cluster(state.home)
    named = [state.home, *([cluster] if os.geteuid() == 0 else []), state.run]
    assert set(map(str, named)) <= set(asked(state))
    assert not any(path.exists() for path in named)
    assert (others / "PG_VERSION").exists()
    assert postgres.cluster(other) == others


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root the database lies elsewhere")
def test_a_database_whose_state_folder_was_removed_by_hand_is_found_and_removed(state):
    left = postgres.cluster(state.home)
    for path in sorted(state.home.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    state.home.rmdir()
    assert postgres.unused(state.home) == [left]
    assert str(left) in asked(state)
    assert not left.exists()
    assert postgres.clusters(state.home) == []


def test_without_a_yes_nothing_is_removed(state, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))  # a pipe is nobody who has read the names
    with pytest.raises(CannotRun, match="Nothing was removed"):
        asked(state, is_confirmed=False)
    assert (state.home / "builds").exists()
    assert postgres.cluster(state.home).exists()


@pytest.mark.parametrize(("answer", "stays"), [("yes\n", False), ("y\n", True), ("\n", True)])
def test_whoever_is_asked_types_the_whole_word(answer, stays, state, monkeypatch):
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    try:
        asked(state, is_confirmed=False)
    except CannotRun:
        assert stays
    assert state.home.exists() is stays


def test_while_the_server_runs_it_is_refused(state):
    with leftovers.only_server(state.home), pytest.raises(CannotRun, match="already runs"):
        asked(state)
    assert (state.home / "builds").exists()


def test_where_no_server_has_run_there_is_nothing_to_remove(state):
    (state.home / "server.lock").unlink()
    for path in postgres.clusters(state.home):
        postgres.remove(path)
    with pytest.raises(CannotRun, match="nothing to remove"):
        asked(state)
    assert (state.home / "builds").exists()


def test_a_state_folder_that_holds_more_than_a_server_is_refused(state, monkeypatch):
    monkeypatch.setenv("HOME", str(state.home / "builds"))
    with pytest.raises(CannotRun, match="remove by hand"):
        asked(state)
    assert (state.home / "builds").exists()
