"""Postgres: DATABASE_URL, which `micro server` sets to its embedded one when it is unset."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

from project import env
from project.embedded import postgres, postgres_roles

from .base import MICRO_HOME, MICRO_RUN

# By itself a command such as `manage.py rotate_keys` finds the embedded server of the same MICRO_HOME.
_password = postgres.password_file(MICRO_HOME)
_embedded = postgres_roles.url(MICRO_RUN / "postgres", _password.read_text() if _password.exists() else "")
DATABASE_URL = env.text("DATABASE_URL", _embedded)
_parts = conninfo_to_dict(DATABASE_URL)

DATABASES = {
    "default": {
        "ENGINE": "django_tenants.postgresql_backend",
        "NAME": _parts.get("dbname", "micro"),
        "USER": _parts.get("user", ""),
        "PASSWORD": _parts.get("password", ""),
        "HOST": _parts.get("host", ""),
        "PORT": _parts.get("port", ""),
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=30s -c lock_timeout=5s",
        },
    }
}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
