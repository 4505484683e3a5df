"""Claims about who gets into the embedded Postgres, and how much they may do there."""

# ruff: noqa: S608 - the names are our own
from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from project.embedded import postgres, postgres_roles
from project.server import probes

PASSWORD = "sesame-_1"
SUPERUSERS_POWERS = (
    "COPY (SELECT 'x') TO PROGRAM 'cat'",
    "CREATE TABLE taken (line text); COPY taken FROM PROGRAM 'id'",
    "COPY pg_class TO '/tmp/micro-test-copy'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "CREATE ROLE more SUPERUSER",
    "CREATE ROLE more LOGIN",
    "ALTER ROLE platform SUPERUSER",
    "SET ROLE micro",
    "SET SESSION AUTHORIZATION micro",
    "GRANT pg_execute_server_program TO platform",
    "CREATE DATABASE more",
    "ALTER SYSTEM SET archive_command = 'id'",
    "CREATE FUNCTION run(cstring) RETURNS int AS 'libc.so.6', 'system' LANGUAGE c",
    "LOAD '/tmp/x.so'",
    "SELECT * FROM pg_authid",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder that Postgres' own account may enter."""
    made = Path(tempfile.mkdtemp(prefix="micro-pg-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextmanager
def running(folder: Path, url: str) -> Iterator[None]:
    """The cluster of the folder at work, once it lets `url` in."""
    server = postgres.start(folder / "data", folder / "s")
    try:
        deadline = time.monotonic() + 20
        while not probes.postgres_answers(url):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield
    finally:
        server.send_signal(2)
        server.wait(10)


def platforms(folder: Path, password: str = PASSWORD) -> str:
    return postgres_roles.url(folder / "s", password)


def superusers(folder: Path) -> str:
    return postgres.url(folder / "s", "micro")


def test_the_platforms_role_gets_in_by_its_password_alone_and_nobody_else_does(folder):
    postgres.initialise(folder / "data")
    postgres_roles.close(folder / "data", PASSWORD)
    with running(folder, platforms(folder)):
        for url in (platforms(folder, "another"), platforms(folder, ""), superusers(folder)):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(url)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(platforms(folder).replace("/micro?", "/postgres?"))


@pytest.mark.parametrize("statement", SUPERUSERS_POWERS)
def test_it_has_no_power_over_the_machine_or_the_cluster(statement, closed):
    with psycopg.connect(closed, autocommit=True) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(statement)
    assert refused.type in (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFile)
    assert not (refused.type is psycopg.errors.UndefinedFile and not statement.startswith("LOAD"))


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """The URL of the platform's role in a cluster of its own."""
    made = Path(tempfile.mkdtemp(prefix="micro-pg-", dir="/tmp"))
    made.chmod(0o755)
    postgres.initialise(made / "data")
    postgres_roles.close(made / "data", PASSWORD)
    with running(made, platforms(made)):
        yield platforms(made)
    shutil.rmtree(made)


def test_a_cluster_of_an_earlier_version_is_given_to_the_role_with_all_that_is_in_it(folder):
    postgres.initialise(folder / "data")
    with running(folder, postgres.url(folder / "s", "postgres")):
        with psycopg.connect(postgres.url(folder / "s", "postgres"), autocommit=True) as server:
            server.execute("CREATE DATABASE micro")
        with psycopg.connect(superusers(folder)) as old:
            for schema in ("public", "acme", '"odd name"'):
                old.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                old.execute(f"CREATE TABLE {schema}.one (id serial PRIMARY KEY, also int GENERATED ALWAYS AS IDENTITY)")
                old.execute(f"CREATE SEQUENCE {schema}.alone; CREATE VIEW {schema}.seen AS SELECT * FROM {schema}.one")
                old.execute(f"INSERT INTO {schema}.one DEFAULT VALUES")
    postgres_roles.close(folder / "data", PASSWORD)
    with running(folder, platforms(folder)), psycopg.connect(platforms(folder)) as connection:
        owners = connection.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ).fetchall()
        assert owners == [("platform",)]
        for schema in ("public", "acme", '"odd name"'):
            connection.execute(f"INSERT INTO {schema}.one DEFAULT VALUES")
            assert connection.execute(f"SELECT count(*) FROM {schema}.seen").fetchone() == (2,)
            connection.execute(f"ALTER TABLE {schema}.one ADD COLUMN more text; DROP VIEW {schema}.seen")
        connection.execute("DROP SCHEMA acme CASCADE; CREATE SCHEMA more")


def test_a_lost_password_is_replaced_by_a_new_one_and_the_old_one_is_worth_nothing(folder):
    postgres.initialise(folder / "data")
    postgres_roles.close(folder / "data", PASSWORD)
    postgres_roles.close(folder / "data", "the-next-one")
    with running(folder, platforms(folder, "the-next-one")), pytest.raises(psycopg.OperationalError):
        psycopg.connect(platforms(folder))


def test_what_cannot_be_opened_is_refused_in_postgres_own_words(folder):
    postgres.initialise(folder / "data")
    (folder / "data" / "global" / "pg_control").write_bytes(b"\0" * 8192)
    with pytest.raises(postgres_roles.Refused, match=r"(?i)FATAL|PANIC|status"):
        postgres_roles.close(folder / "data", PASSWORD)
