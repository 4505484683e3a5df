"""What docs/events.md shows is run as it stands."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from pathlib import Path

import pytest

from micro import client as clients
from micro import errors
from micro.client import Client

from .test_sdk import Known, server  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db

DOCUMENT = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def default(server, monkeypatch):  # noqa: F811
    made = Client(server.address, namespace="shop")
    made._identity = Known("joe@shop")
    monkeypatch.setattr(clients, "default", lambda: made)
    yield made
    made.close()


def test_every_example_runs(default, capsys):
    publish, in_group, leaving, replaying, asynchronous, messages = BLOCKS
    names: dict[str, object] = {}
    exec(publish, names)  # noqa: S102

    def run(endless: str) -> None:
        with contextlib.suppress(errors.Error, ValueError):  # the test ends, and with it the connection
            exec(endless, names)  # noqa: S102

    for endless in (in_group, replaying, messages):
        threading.Thread(target=run, args=(endless,), daemon=True).start()
    exec(leaving, names)  # noqa: S102
    exec(asynchronous, names)  # noqa: S102
    time.sleep(0.5)
    exec(publish, names)  # noqa: S102
    exec(messages.partition("for")[0], names)  # noqa: S102
    expected = ("charging order 7, attempt 1", "'article': 'nut'", "{'nut': 3}")
    deadline, printed = time.monotonic() + 10, ""
    while not all(text in printed for text in expected):
        assert time.monotonic() < deadline, printed
        time.sleep(0.1)
        printed += capsys.readouterr().out
