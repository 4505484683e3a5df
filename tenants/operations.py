"""Making namespaces and what they belong to."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection, transaction

from micro.errors import AlreadyExists

from . import names, provisioning, quotas, schemas
from .models import Environment, Membership, Namespace, Plan, User

PLATFORM_NAMESPACE = "micro"
DEFAULT_PLAN = "default"
ENVIRONMENTS = ("local", "dev", "platform")
_CREATION_LOCK = 7_214_001  # pg_advisory_xact_lock: one namespace is born at a time


def create_namespace(*, slug: str, environment: Environment | None = None, owner: User | None = None) -> Namespace:
    """Make the namespace `slug` with its schema and everything that other rooms provision; `owner` becomes its admin.

    Raises InvalidArgument for a name that is malformed or reserved, AlreadyExists for one that is taken.
    """
    names.validate_namespace(slug)
    return _create(slug=slug, environment=environment, owner=owner)


def ensure_namespace(*, slug: str) -> Namespace:
    """The namespace `slug`, made when there is none; raises InvalidArgument for a name that a new one may not have."""
    try:
        known: Namespace | None = Namespace.objects.filter(slug=slug).first()
        return known or create_namespace(slug=slug)
    except AlreadyExists:  # somebody else was first
        made: Namespace = Namespace.objects.get(slug=slug)
        return made


@transaction.atomic
def bootstrap(*, admin_password: str) -> None:
    """Make what every server has: its environments, the namespace `micro`, and there the admin `admin`.

    Does nothing where they exist; in particular it never resets a password.
    """
    _lock_creation()
    for name in ENVIRONMENTS:
        _environment(name)
    admin = User.objects.filter(username="admin").first()
    if admin is None:
        admin = User.objects.create_superuser("admin", password=admin_password)
    namespace = Namespace.objects.filter(slug=PLATFORM_NAMESPACE).first()
    if namespace is None:
        _create(slug=PLATFORM_NAMESPACE, owner=admin)


@transaction.atomic
def set_plan(*, name: str, **limits: Any) -> Plan:
    """Make a plan, or change one: the limits that are named, None for what the server's settings say."""
    plan, _ = Plan.objects.update_or_create(name=name, defaults=limits)
    _tell_of_plans()
    return plan


@transaction.atomic
def give_plan(*, namespace: Namespace, plan: Plan | None) -> None:
    """Let the namespace have a plan of its own, or with None its environment's again. Acts within seconds."""
    Namespace.objects.filter(pk=namespace.pk).update(plan=plan)
    namespace.plan = plan
    _tell_of_plans()


@transaction.atomic
def _create(*, slug: str, environment: Environment | None = None, owner: User | None = None) -> Namespace:
    _lock_creation()
    if Namespace.objects.filter(slug=slug).exists():
        raise AlreadyExists(f"Namespace {slug!r} already exists.")
    pk = _next_id()
    namespace = Namespace(pk=pk, slug=slug, schema_name=f"ns_{pk}", environment=environment or _own_environment())
    namespace.save(force_insert=True)
    schemas.create(namespace.schema_name)
    if owner is not None:
        Membership.objects.create(user=owner, namespace=namespace, role=Membership.Role.ADMIN)
    provisioning.provision(namespace)
    _tell_of_plans()
    return namespace


def _own_environment() -> Environment:
    """The environment that is named like this server's profile."""
    return _environment(settings.MICRO_PROFILE)


def _environment(name: str) -> Environment:
    """The environment of that name, made with the default plan when it is missing."""
    Plan.objects.get_or_create(name=DEFAULT_PLAN)
    return Environment.objects.get_or_create(name=name, defaults={"base_domain": settings.MICRO_BASE_DOMAIN})[0]


def _lock_creation() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CREATION_LOCK])


def _tell_of_plans() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [quotas.CHANNEL])


def _next_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('tenants_namespace', 'id'))")
        (pk,) = cursor.fetchone()
    return int(pk)
