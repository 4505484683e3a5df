"""Removing what tenants have made, however deep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from micro.errors import ResourceExhausted
from runtime import folders
from runtime.sources import tree


def dig(folder: Path, name: str, depth: int) -> None:
    """Make folders in folders, deeper than a path can name."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


@pytest.mark.parametrize(("name", "depth"), [("d", 1500), ("d" * 200, 40)])
def test_a_folder_is_removed_however_deep_it_is(tmp_path, name, depth):
    dig(tmp_path / "deep", name, depth)
    folders.remove(tmp_path / "deep")
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(("name", "depth"), [("d", 1500), ("d" * 200, 40)])
def test_a_source_that_is_too_deep_is_refused_in_a_sentence(tmp_path, name, depth):
    dig(tmp_path / "deep", name, depth)
    with pytest.raises(ResourceExhausted, match="more than 100 deep"):
        tree.require_within_limits(tmp_path / "deep")
    folders.remove(tmp_path / "deep")


def test_what_is_not_there_and_a_link_are_removed_as_they_are(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    folders.remove(tmp_path / "link")
    folders.remove(tmp_path / "nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
