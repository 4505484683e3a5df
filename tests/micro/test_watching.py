"""A watched folder, as somebody works in it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from micro.cli import watching
from micro.cli.watching import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "main.py").write_text("print(1)\n")
    (tmp_path / "empty.py").write_text("")
    return Folder.of(tmp_path)


def sizes(folder: Folder) -> dict[str, int]:
    return {name: size for name, (_, size) in folder.files.items()}


def test_a_file_that_is_slowly_saved_is_waited_for(folder, monkeypatch):
    monkeypatch.setattr(watching, "SAVED_WITHIN_S", 60)

    def save() -> None:
        with (folder.path / "main.py").open("w") as file:
            time.sleep(1)
            file.write("print(22)\n")

    saving = threading.Thread(target=save)
    saving.start()
    changed = watching._changed(folder, 0.05)
    saving.join()
    assert sizes(changed) == {"main.py": 10, "empty.py": 0}


def test_a_file_that_stays_empty_is_a_change_in_the_end(folder, monkeypatch):
    monkeypatch.setattr(watching, "SAVED_WITHIN_S", 1)
    (folder.path / "main.py").write_text("")
    began = time.monotonic()
    assert sizes(watching._changed(folder, 0.05)) == {"main.py": 0, "empty.py": 0}
    assert time.monotonic() - began >= 1


def test_a_file_that_was_empty_before_keeps_nobody_waiting(folder):
    (folder.path / "main.py").write_text("print(3)\n# more\n")
    assert not Folder.of(folder.path).has_emptied(folder)
