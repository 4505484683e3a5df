"""The schemas of namespaces, which hold the tables of TENANT_APPS and nothing else."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from psycopg import sql


def create(schema: str) -> None:
    """Make a schema with its tables. The public schema must be migrated."""
    name = sql.Identifier(schema)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        books = "CREATE TABLE {}.django_migrations (LIKE public.django_migrations INCLUDING ALL)"
        cursor.execute(sql.SQL(books).format(name))
    copy_shared_history(schema)
    migrate(schema)


def copy_shared_history(schema: str) -> None:
    """Note what the public schema has had of the apps that have no tables here.

    Django would run each of those migrations to no effect, and take most of a second for it.
    """
    copy = sql.SQL(
        "INSERT INTO {0}.django_migrations (app, name, applied) "
        "SELECT app, name, applied FROM public.django_migrations "
        "WHERE app <> ALL (%s) AND (app, name) NOT IN (SELECT app, name FROM {0}.django_migrations) ORDER BY id"
    )
    with connection.cursor() as cursor:
        cursor.execute(copy.format(sql.Identifier(schema)), [_own_apps()])


def migrate(schema: str) -> None:
    """Apply every migration that the schema lacks."""
    try:
        call_command("migrate_schemas", schema_name=schema, verbosity=0, interactive=False)
    finally:
        connection.set_schema_to_public()  # type: ignore[attr-defined]


def _own_apps() -> list[str]:
    return [config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS]
