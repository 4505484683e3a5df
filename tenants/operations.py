"""Making namespaces and what they belong to."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q

from micro.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from transport.callers import Account

from . import api_tokens, names, provisioning, quotas, schemas
from .access import actors, namesakes
from .access.actors import reach
from .access.permissions import Permission, Reach
from .access.roles import TABLE, USER, Role
from .access.roles import role as role_of
from .models import ApiToken, ApiTokenQuerySet, Environment, Membership, Namespace, Plan, User

PLATFORM_NAMESPACE = "micro"
DEFAULT_PLAN = "default"
ENVIRONMENTS = ("local", "dev", "platform")
MOST_API_TOKENS = 50  # of one member
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


def found_namespace(*, slug: str, by: Account) -> Namespace:
    """Make the namespace `slug` for others to use, as the admins of the platform's namespace may.

    Raises PermissionDenied for everybody else, and as `create_namespace` does.
    """
    if reach(by, Permission.PLATFORM_OPERATE) is Reach.NONE:
        raise PermissionDenied(f"Only admins of the namespace {PLATFORM_NAMESPACE} make namespaces.")
    return create_namespace(slug=slug)


@transaction.atomic
def add_member(*, namespace: Namespace, user: User, role: Role | str, by: Account) -> Membership:
    """Let a user into a namespace.

    Raises PermissionDenied for who does not administer it, AlreadyExists for who is a member, and for the name of an
    account that there is.
    """
    actors.require(by, namespace, Permission.MEMBERS_WRITE)
    rows = Membership.objects.in_namespace(namespace)
    made: tuple[Membership, bool] = rows.get_or_create(namespace=namespace, user=user, defaults={"role": role})
    if not made[1]:
        raise AlreadyExists(f"{user} is a member of {namespace} already.")
    namesakes.require_free(namespace, user.get_username())
    return made[0]


def set_role(*, membership: Membership, role: Role | str, by: Account) -> None:
    """Give a member another role. Raises PermissionDenied for who does not administer the namespace."""
    actors.require(by, membership.namespace, Permission.MEMBERS_WRITE)
    membership.role = str(role)
    membership.save(update_fields=["role"])


def remove_member(*, membership: Membership, by: Account) -> None:
    """End a membership and the API tokens that hang on it. Raises PermissionDenied as above."""
    actors.require(by, membership.namespace, Permission.MEMBERS_WRITE)
    membership.delete()


@transaction.atomic
def create_api_token(
    *, namespace: Namespace, name: str, role: Role | str, expires_at: datetime | None, by: Account, at: datetime
) -> tuple[ApiToken, str]:
    """Make a token by which a program acts for the member `by`; the token in plain text can never be read again.

    Raises PermissionDenied for who is no member or would give more than they have, AlreadyExists for a name that they
    have given before, ResourceExhausted when they have too many, InvalidArgument for what cannot be.
    """
    actors.require(by, namespace, Permission.TOKENS_WRITE)
    _require_sound_token(name, role, expires_at, at)
    if any(far > reach(by, permission) for permission, far in TABLE[Role(role)].items()):
        raise PermissionDenied(f"A {role_of(by)} cannot give the role {role}.")
    membership = _membership_of(by, namespace)
    if membership.api_tokens.count() >= MOST_API_TOKENS:
        raise ResourceExhausted(f"A member may have {MOST_API_TOKENS} API tokens: revoke one that is not used.")
    if membership.api_tokens.filter(name=name).exists():
        raise AlreadyExists(f"There is an API token {name!r} already.")
    token = api_tokens.draw()
    row = membership.api_tokens.create(
        namespace=namespace,
        name=name,
        role=role,
        digest=api_tokens.digest(token),
        hint=token[: api_tokens.HINT_CHARACTERS],
        expires_at=expires_at,
    )
    return row, token


def revoke_api_token(*, namespace: Namespace, token_id: UUID, by: Account) -> None:
    """Make a token useless from now on: one's own, or as an admin anybody's in the namespace.

    Raises NotFound for one that is not there or not theirs, PermissionDenied for a role that only looks.
    """
    deleted, _ = _api_tokens_within(Permission.TOKENS_WRITE, namespace, by).filter(pk=token_id).delete()
    if not deleted:
        raise NotFound("There is no such API token.")


def visible_api_tokens(*, namespace: Namespace, by: Account) -> ApiTokenQuerySet:
    """The API tokens that `by` may see: their own, an admin those of all members."""
    return _api_tokens_within(Permission.TOKENS_READ, namespace, by)


def _api_tokens_within(permission: Permission, namespace: Namespace, by: Account) -> ApiTokenQuerySet:
    """Those that the permission reaches. Whose they are tells the user's number: names can be another's later."""
    actors.require(by, namespace, permission)
    rows: ApiTokenQuerySet = ApiToken.objects.in_namespace(namespace).select_related("membership__user")
    if reach(by, permission) is Reach.ALL:
        return rows
    return rows.none() if by.user_id is None else rows.filter(membership__user_id=by.user_id)


def _require_sound_token(name: str, role: Role | str, expires_at: datetime | None, at: datetime) -> None:
    if not 0 < len(name) <= 60 or not name.isprintable() or name != name.strip():
        raise InvalidArgument("The name of an API token has 1 to 60 printable characters.")
    roles = ApiToken.Role.values
    if role not in roles:
        raise InvalidArgument(f"The role of an API token is {', '.join(roles)}, not {role[:40]!r}.")
    if expires_at is not None and expires_at <= at:
        raise InvalidArgument("An API token cannot have expired already.")


def _membership_of(account: Account, namespace: Namespace) -> Membership:
    """The membership that made the account, locked; raises PermissionDenied when it is no user's own account."""
    rows = Membership.objects.in_namespace(namespace).select_for_update(of=("self",))
    found: Membership | None = rows.filter(user_id=account.user_id or 0, user__is_active=True).first()
    if found is None or account.issuer != namespace.slug or account.type != USER:
        raise PermissionDenied("Only a user who has logged in makes API tokens, and only where they are a member.")
    return found


@transaction.atomic
def bootstrap(*, admin_password: str) -> None:
    """Make what every server has: its environments, the namespace `micro`, and with a password its admin `admin`.

    Does nothing where they exist; in particular it never resets a password.
    """
    _lock_creation()
    for name in ENVIRONMENTS:
        _environment(name)
    if not Namespace.objects.filter(slug=PLATFORM_NAMESPACE).exists():
        _create(slug=PLATFORM_NAMESPACE)
    if admin_password and not User.objects.filter(username="admin").exists():
        _make_platform_admin(User(username="admin"), admin_password)


@transaction.atomic
def create_operator(*, username: str, email: str, password: str) -> User:
    """Make a user who may do everything: in /admin/, and as an admin of the platform's namespace at every other door.

    Raises AlreadyExists for a name or an address that is taken, InvalidArgument for a password that is easily guessed.
    """
    names.require_username(username)
    taken = User.objects.filter(Q(username=username) | (Q(email__iexact=email) & ~Q(email="")))
    if taken.exists():
        raise AlreadyExists(f"There is a user {username!r} already, or one with this address.")
    user = User(username=username, email=email)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidArgument(" ".join(error.messages)) from None
    namesakes.require_free(Namespace.objects.get(slug=PLATFORM_NAMESPACE), username)
    return _make_platform_admin(user, password)


def _make_platform_admin(user: User, password: str) -> User:
    user.is_staff = user.is_superuser = True
    user.set_password(password)
    user.save(force_insert=True)
    namespace = Namespace.objects.get(slug=PLATFORM_NAMESPACE)
    Membership.objects.create(user=user, namespace=namespace, role=Membership.Role.ADMIN)
    return user


@transaction.atomic
def set_environment(*, environment: Environment) -> None:
    """Keep an environment as it is now, new or changed; what its plan allows acts within seconds."""
    environment.save()
    _tell_of_plans()


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
