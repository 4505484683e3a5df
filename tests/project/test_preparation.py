"""Claims about the database before a server runs on it: created, migrated, never a newer one's."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from project.server import preparation
from project.server.errors import CannotRun
from tenants.models import Namespace, User


def test_a_database_that_is_missing_is_created_and_one_that_exists_is_left_alone():
    name = f"made_{uuid.uuid4().hex}"
    url = django_settings.DATABASE_URL.replace("/micro?", f"/{name}?")
    try:
        preparation.create_database(url)
        with psycopg.connect(url) as made:
            made.execute("CREATE TABLE kept ()")
        preparation.create_database(url)
        with psycopg.connect(url) as made:
            assert made.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)
    finally:
        with psycopg.connect(url.replace(f"/{name}?", "/postgres?"), autocommit=True) as server:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.mark.django_db
def test_nothing_is_migrated_when_everything_is():
    assert preparation.prepare().startswith("nothing to migrate, ")


@pytest.mark.django_db
def test_the_database_of_a_newer_version_is_refused():
    MigrationRecorder(connection).record_applied("tenants", "9999_from_the_future")
    with pytest.raises(
        CannotRun, match=r"made by a newer version \(it has the migration tenants\.9999_from_the_future\)"
    ):
        preparation._pending_migrations()


@pytest.mark.django_db
def test_a_namespace_whose_migrations_were_cut_short_is_noticed():
    preparation._make_first_admin()
    assert preparation._pending_migrations() == 0
    schema = Namespace.objects.get(slug="micro").schema_name
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("DELETE FROM {0}.django_migrations WHERE id = (SELECT max(id) FROM {0}.django_migrations)").format(
                sql.Identifier(schema)
            )
        )
    assert preparation._pending_migrations() == 1


@pytest.mark.django_db
def test_the_local_profile_has_the_admin_that_its_banner_names_and_keeps_a_changed_password():
    preparation._make_first_admin()
    admin = User.objects.get(username="admin")
    assert admin.check_password("micro")
    admin.set_password("another one")
    admin.save()
    preparation._make_first_admin()
    assert User.objects.get(username="admin").check_password("another one")


@pytest.mark.django_db
def test_another_profile_refuses_an_admin_with_the_default_password(settings):
    preparation._make_first_admin()
    settings.MICRO_PROFILE = "platform"
    with pytest.raises(CannotRun, match="still has the default password"):
        preparation._make_first_admin()


@pytest.mark.django_db
def test_another_profile_makes_no_admin_without_a_password_and_one_once_there_is_one(settings):
    settings.MICRO_PROFILE, settings.MICRO_ADMIN_PASSWORD = "platform", ""
    preparation._make_first_admin()
    assert not User.objects.exists()
    settings.MICRO_ADMIN_PASSWORD = "long and secret"
    preparation._make_first_admin()
    assert User.objects.get().memberships.get().namespace.slug == "micro"


@pytest.mark.django_db
def test_another_profile_makes_the_admin_with_the_password_it_was_given(settings):
    settings.MICRO_PROFILE, settings.MICRO_ADMIN_PASSWORD = "platform", "long and secret"
    preparation._make_first_admin()
    assert User.objects.get(username="admin").check_password("long and secret")
