"""The Python of docs/auth.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import micro.client

from .test_cli import client, micro  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed

TEXT = (Path(__file__).parents[3] / "docs" / "auth.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_there_are_examples():
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(client, monkeypatch, code):  # noqa: F811
    monkeypatch.setattr("micro.client.default", lambda: client)
    exec(compile(code, "auth.md", "exec", dont_inherit=True), {"__name__": "example"})  # noqa: S102
