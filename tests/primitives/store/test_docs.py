"""The Python of docs/store.md and docs/config.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import micro.client
from tests.primitives.store.test_sdk import client, server  # noqa: F401 - fixtures

DOCS = Path(__file__).parents[3] / "docs"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def examples() -> list[tuple[str, str]]:
    return [(name, code) for name in ("store.md", "config.md") for code in PYTHON.findall((DOCS / name).read_text())]


def test_there_are_examples():
    assert [name for name, _ in examples()] == ["store.md", "store.md", "config.md"]


@pytest.mark.parametrize(("name", "code"), examples())
def test_an_example_runs(client, monkeypatch, name, code):  # noqa: F811
    monkeypatch.setattr(micro.client, "default", lambda: client)
    exec(compile(code, name, "exec", dont_inherit=True), {"__name__": "example"})  # noqa: S102
