"""How long it takes to make the 1st, 100th and 1,000th namespace, and to migrate all of them.

    python bench/namespaces.py [how many] [seconds in which to make them]

Ends by itself: when the seconds (240) are over it goes on with those that it has. The migration makes one table in each
schema; it is the platform's own, undone before. `migrated` is what the server's start does.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

APP, MIGRATION, TABLE = "micro_events", "0001_initial", "micro_events_deadletter"
MARKS = (1, 100, 1000)
NEARBY = 10  # a figure is the median of so many creations around it


def main() -> int:
    """Measure and print."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    within_s = float(sys.argv[2]) if len(sys.argv) > 2 else 240.0
    with tempfile.TemporaryDirectory(prefix="micro-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with database(folder):
            return measure(wanted, within_s)


@contextmanager
def database(folder: Path) -> Iterator[None]:
    """A Postgres of our own, with Django's settings for it."""
    os.environ |= {
        "MICRO_HOME": str(folder / "home"),
        "DATABASE_URL": f"postgresql://micro@/micro?host={folder / 's'}",
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "MICRO_LOG_LEVEL": "ERROR",
    }
    from project.embedded import postgres

    postgres.initialise(folder / "data")
    server: subprocess.Popen[bytes] = postgres.start(folder / "data", folder / "s")
    try:
        import django

        django.setup()
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def measure(wanted: int, within_s: float) -> int:
    """Create, set back, migrate."""
    from project.server import schemas
    from project.server.preparation import prepare

    print(f"empty database: {prepare()}")
    times = create(wanted, within_s)
    for mark in [mark for mark in MARKS if mark <= len(times)]:
        near = times[max(0, mark - NEARBY // 2 - 1) : mark + NEARBY // 2] if mark > 1 else times[:1]
        print(f"namespace {mark:>5}: {statistics.median(near) * 1000:6.0f} ms")
    if len(times) < wanted:
        print(f"{within_s:.0f} s were over after {len(times)} of {wanted}")
    print(f"nothing to do : {timed(prepare):6.2f} s for {len(times)} namespaces")
    for processes in (1, schemas.PROCESSES):
        late = set_back()
        took_s = timed(lambda processes=processes: prepare(processes=processes))
        print(f"migrated      : {took_s:6.2f} s for {late} by {processes} processes, {late / took_s:.0f} a second")
    return 0


def create(wanted: int, within_s: float) -> list[float]:
    """How long each creation took, in seconds."""
    from tenants.operations import create_namespace

    began, times = time.monotonic(), []
    while len(times) < wanted and time.monotonic() - began < within_s:
        number = len(times) + 1
        times.append(timed(lambda number=number: create_namespace(slug=f"n{number}")))
    return times


def set_back() -> int:
    """Undo the migration in every schema, as if it were newer than they are; how many there are."""
    from django.db import connection
    from psycopg import sql

    from tenants.models import Namespace

    names = list(Namespace.objects.values_list("schema_name", flat=True))
    with connection.cursor() as cursor:
        for name in names:
            schema = sql.Identifier(name)
            cursor.execute(sql.SQL("DROP TABLE {}.{}").format(schema, sql.Identifier(TABLE)))
            cursor.execute(
                sql.SQL("DELETE FROM {}.django_migrations WHERE app = %s AND name = %s").format(schema),
                [APP, MIGRATION],
            )
    return len(names)


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
