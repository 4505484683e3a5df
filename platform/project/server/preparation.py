"""Brings the database to where this version of the platform needs it."""

from __future__ import annotations

import time
from datetime import timedelta

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django_tenants.utils import get_public_schema_name, schema_context
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from project.profiles import DEFAULT_ADMIN_PASSWORD, LOCAL
from project.waiting import NotReady, wait_for
from tenants import operations
from tenants.models import User

from . import schemas
from .errors import CannotRun

DATABASE_WITHIN = timedelta(seconds=10)
MAINTENANCE_DATABASE = "postgres"
PASSING = ("starting up", "shutting down", "recovery", "too many", "remaining connection slots")


def prepare(*, processes: int = schemas.PROCESSES) -> str:
    """Wait for the database, create it, migrate every schema, make what all servers have; what was done, in short.

    Killed half-way, it goes on where it was. Raises CannotRun with a sentence that names what is wrong.
    """
    began = time.monotonic()
    create_database(settings.DATABASE_URL)
    try:
        pending = _pending_migrations()
        namespaces = 0
        if pending:
            call_command("migrate_schemas", shared=True, verbosity=0, interactive=False)
            namespaces = schemas.migrate(processes=processes)
        with schema_context(get_public_schema_name()):  # migrating leaves the connection in the last one it touched
            _make_first_admin()
    except DatabaseError as error:
        raise CannotRun(
            f"The database cannot be brought up to date ({_reason(error)}): correct that, and start again; one that is "
            "damaged is restored from a backup, and one that is not micro's is left to others by another DATABASE_URL."
        ) from error
    took = f"{time.monotonic() - began:.1f} s{_warning()}"
    return f"{pending} migrations, {namespaces} namespaces, {took}" if pending else f"nothing to migrate, {took}"


def _warning() -> str:
    """What is to be said of the role that we log in as; blank for one that has no more rights than it needs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        (is_superuser,) = cursor.fetchone() or (False,)
    return (
        "; WARNING: the role of DATABASE_URL is a superuser, one that owns the database will do" if is_superuser else ""
    )


def create_database(url: str, within: timedelta = DATABASE_WITHIN) -> None:
    """Wait for the server that `url` names, and make the database when it has none of that name."""
    refusals: list[psycopg.OperationalError] = []

    def exists() -> bool:
        try:
            _connect_or_create(url)
        except psycopg.OperationalError as error:
            if not _is_refusal(error):
                raise
            refusals.append(error)
        return True

    try:
        wait_for("Postgres", exists, within)
    except NotReady as error:
        raise CannotRun(
            f"The database does not answer ({_reason(error)}): start it, or correct DATABASE_URL."
        ) from None
    if refusals:
        raise CannotRun(f"The database refuses us ({_reason(refusals[0])}): correct DATABASE_URL.")


def _connect_or_create(url: str) -> None:
    name = str(conninfo_to_dict(url).get("dbname") or "micro")
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError as missing:
        try:
            with psycopg.connect(make_conninfo(url, dbname=MAINTENANCE_DATABASE, connect_timeout=3)) as server:
                server.autocommit = True
                if server.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None:
                    raise missing
                server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.OperationalError:
            raise missing from None


def _is_refusal(error: psycopg.OperationalError) -> bool:
    """Whether the server said no, and waiting will not help."""
    return "FATAL" in str(error) and not any(passing in str(error) for passing in PASSING)


def _pending_migrations() -> int:
    """How many migrations the database lacks; 1 when only namespaces do, because an earlier run was cut short.

    Raises CannotRun when the database has some that we do not know.
    """
    loader = MigrationLoader(connection)
    known, applied = set(loader.disk_migrations or {}), set(loader.applied_migrations or {})
    if newer := sorted(key for key in applied - known if key[0] in loader.migrated_apps):
        raise CannotRun(
            f"The database was made by a newer version (it has the migration {'.'.join(newer[0])}): "
            f"run that version, or restore a backup of this one's."
        )
    return len(known - applied) or int(any(schemas.behind()))


def _make_first_admin() -> None:
    admin = User.objects.filter(username="admin").first()
    if settings.MICRO_PROFILE != LOCAL and admin is not None and admin.check_password(DEFAULT_ADMIN_PASSWORD):
        raise CannotRun(
            f"The user admin still has the default password, which the profile {settings.MICRO_PROFILE} refuses: "
            f"start once with MICRO_PROFILE={LOCAL} and change it in /admin/."
        )
    operations.bootstrap(admin_password=settings.MICRO_ADMIN_PASSWORD)


def _reason(error: Exception) -> str:
    """The last thing that went wrong, without libpq's indented hints."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    return (lines or [type(error).__name__])[-1].strip().rstrip(".")
