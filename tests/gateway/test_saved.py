"""The last good configuration on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gateway import saved, snapshot
from gateway.resources import TYPES

from .test_snapshot import STATE


def test_what_was_saved_is_loaded_byte_for_byte(tmp_path: Path):
    resources = snapshot.build(STATE)
    saved.save(tmp_path / "xds", resources, made_for="here")
    loaded = saved.load(tmp_path / "xds", made_for="here")
    assert loaded is not None
    assert loaded.revision == 7
    assert {t: dict(loaded[t]) for t in TYPES} == {t: dict(resources[t]) for t in TYPES}


def test_nothing_is_loaded_that_was_made_for_other_settings_or_is_broken(tmp_path: Path):
    assert saved.load(tmp_path, made_for="here") is None
    saved.save(tmp_path, snapshot.build(STATE), made_for="here")
    assert saved.load(tmp_path, made_for="elsewhere") is None
    next((tmp_path / "contents").iterdir()).unlink()
    assert saved.load(tmp_path, made_for="here") is None
    (tmp_path / "manifest.json").write_text("{")
    assert saved.load(tmp_path, made_for="here") is None


def test_a_torn_content_is_found_out_and_written_again(tmp_path: Path):
    resources = snapshot.build(STATE)
    saved.save(tmp_path, resources, made_for="here")
    torn = next((tmp_path / "contents").iterdir())
    torn.write_bytes(torn.read_bytes()[:-1])
    assert saved.load(tmp_path, made_for="here") is None
    saved.save(tmp_path, resources, made_for="here")
    assert saved.load(tmp_path, made_for="here") is not None


def test_saving_again_writes_what_is_new_and_drops_what_is_old(tmp_path: Path):
    saved.save(tmp_path, snapshot.build(STATE), made_for="here")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "contents").iterdir()}
    saved.save(tmp_path, snapshot.build(replace(STATE, services=STATE.services[:1])), made_for="here")
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "contents").iterdir()}
    assert len(after) < len(before)
    assert all(before[name] == at for name, at in after.items() if name in before)
    assert json.loads((tmp_path / "manifest.json").read_text())["revision"] == 7
