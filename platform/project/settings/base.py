"""Profile, state folders, secret key, apps."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from project import env, secret_key
from project.profiles import DEFAULT_ADMIN_PASSWORD, LOCAL, PROFILES

ROOT = Path(__file__).resolve().parents[3]

MICRO_PROFILE = env.choice("MICRO_PROFILE", PROFILES)
MICRO_HOME = env.path("MICRO_HOME", "~/.micro/server")
MICRO_ADMIN_PASSWORD = env.text("MICRO_ADMIN_PASSWORD", DEFAULT_ADMIN_PASSWORD if MICRO_PROFILE == LOCAL else "")
DEBUG = env.flag("MICRO_DEBUG", default=False)
if MICRO_PROFILE != LOCAL:
    env.refuse(
        DEBUG, f"MICRO_DEBUG is on, and the profile {MICRO_PROFILE} shows no one its insides: unset MICRO_DEBUG."
    )
    env.refuse(
        MICRO_ADMIN_PASSWORD == DEFAULT_ADMIN_PASSWORD,
        f"MICRO_ADMIN_PASSWORD is the default one, which the profile {MICRO_PROFILE} refuses: choose another.",
    )
SECRET_KEY = secret_key.load(MICRO_HOME)


def _run_dir() -> Path:
    """The short folder for sockets: a socket path over 107 bytes fails, and MICRO_HOME may be long."""
    name = "micro-" + hashlib.sha256(str(MICRO_HOME).encode()).hexdigest()[:8]
    if "MICRO_RUN" in os.environ:
        return Path(os.environ["MICRO_RUN"])
    if "XDG_RUNTIME_DIR" in os.environ:
        return Path(os.environ["XDG_RUNTIME_DIR"]) / name
    return Path("/run") / name if os.geteuid() == 0 else Path(f"/tmp/{name}-{os.geteuid()}")  # noqa: S108 - 0700, checked at start


MICRO_RUN = _run_dir()
MICRO_IS_SUPERVISED = "MICRO_SUPERVISED_HOME" in os.environ  # `micro server` sets it for the processes that it starts

SHARED_APPS = [
    "django.contrib.admin",  # before django_tenants, whose templates for it have styles that our policy forbids
    "django_tenants",
    "tenants",
    "primitives.broker",
    "primitives.config",
    "primitives.registry",
    "primitives.rules",
    "primitives.store",
    "runtime",
    "gateway",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "project",
]
TENANT_APPS = ["primitives.auth", "primitives.blobs", "primitives.events"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS

TENANT_MODEL = "tenants.Namespace"
TENANT_DOMAIN_MODEL = "tenants.Domain"
AUTH_USER_MODEL = "tenants.User"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
