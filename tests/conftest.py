"""What every test may lean on: an embedded Postgres of its own, and the state folder of a server that does not run."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import django
import psycopg
import pytest
from xdist.scheduler import LoadScopeScheduling

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "platform"), str(Path(__file__).parent)]

import engines  # noqa: E402 - the folders above make it importable

HAD_ENGINE = engines.own() is not None
FLOWS, ENGINE, ATTACKS = "flows", "engine", "attacks"
ON_DOCKER = re.compile(r"[\[-]docker[\]-]")  # a parameter of its name: `[docker]`, `[Joe-docker]`


def _postgres() -> str:
    """A throw-away Postgres for this test run; its URL, of a role that may only make databases of its own."""
    from project.embedded import postgres

    folder = Path(tempfile.mkdtemp(prefix="micro-pg-", dir="/tmp"))
    folder.chmod(0o755)
    postgres.initialise(folder / "data")
    server = postgres.start(folder / "data", folder / "s")

    def stop() -> None:
        server.send_signal(signal.SIGINT)
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    url = f"postgresql://micro@/postgres?host={folder / 's'}"
    deadline = time.monotonic() + 15
    while True:
        try:
            with psycopg.connect(url) as connection:
                connection.execute("CREATE ROLE platform LOGIN CREATEDB")
            return url.replace("micro@/postgres?", "platform@/micro?")
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


# Nothing of the developer's own environment or state reaches a test. Django is set up only here, because its
# settings read the lines above it.
for name in [name for name in os.environ if name.startswith("MICRO_")]:
    del os.environ[name]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, and so would what tests start
os.environ["MICRO_HOME"] = tempfile.mkdtemp(prefix="micro-home-", dir="/tmp")
atexit.register(shutil.rmtree, os.environ["MICRO_HOME"], ignore_errors=True)
os.environ["DATABASE_URL"] = _postgres()
os.environ["MICRO_BACKEND"] = "process"  # tests of another one say so
os.environ["MICRO_BUBBLEWRAP"] = "off"
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
django.setup()


class Companies(LoadScopeScheduling):
    """Hands each process a company of tests at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return company(nodeid)


def company(nodeid: str) -> str:
    """What a test has to stay with, in one process, in order: those on its server or on its engine; else its file."""
    path = nodeid.partition("::")[0]
    if "docker" in path or "tests/faults" in path or ON_DOCKER.search(nodeid):
        return ENGINE
    for folder in (FLOWS, ATTACKS):
        if f"tests/{folder}" in path:
            return folder
    return path


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Companies:
    """Processes that run side by side (pytest -n 2) divide companies among them."""
    return Companies(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What is too long for every day runs by itself."""
    parser.addoption("--extended", action="store_true", help="run what is marked `extended`, and nothing else")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The largest companies first, so that they run beside each other and the small ones fill up what is left."""
    is_extended = bool(config.getoption("--extended"))
    items[:] = [item for item in items if bool(item.get_closest_marker("extended")) == is_extended]
    items.sort(key=lambda item: (FLOWS, ENGINE, ATTACKS, company(item.nodeid)).index(company(item.nodeid)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the Docker engine that tests/engine/up started in this run; where one was there before, one goes on."""
    is_one_of_several = hasattr(session.config, "workerinput")  # the others may still need it
    if not HAD_ENGINE and not is_one_of_several and (engine := engines.of_this_checkout()):
        engine.terminate()
