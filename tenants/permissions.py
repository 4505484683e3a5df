"""What an account may do in a namespace. Operations ask, so that every edge gets the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from django.db.models import QuerySet

from micro.errors import NotFound, PermissionDenied
from transport.callers import Account

from .models import Membership, Namespace, User

PLATFORM_NAMESPACE = "micro"
API_TOKEN = "token"  # noqa: S105 - the type of an account that is an API token


class Permission(StrEnum):
    """What can be allowed."""

    READ = "read"  # see what is there
    DEPLOY = "deploy"  # deploy and kill services
    ADMINISTER = "administer"  # act for other members


class Role(StrEnum):
    """What an account is in its namespace."""

    READER = "reader"
    MEMBER = "member"
    ADMIN = "admin"


GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.READER: frozenset({Permission.READ}),
    Role.MEMBER: frozenset({Permission.READ, Permission.DEPLOY}),
    Role.ADMIN: frozenset(Permission),
}


def role(account: Account) -> Role:
    """Only API tokens can be less than members: scopes of other accounts are the tenant's own words."""
    if "admin" in account.scopes:
        return Role.ADMIN
    return Role.READER if account.type == API_TOKEN and Role.READER in account.scopes else Role.MEMBER


def enter(account: Account, slug: str = "") -> Namespace:
    """The namespace `slug`, or the account's own when it is blank: the door to it for edges that people use.

    Raises NotFound alike for one that does not exist and one that is not theirs to see.
    """
    slug = slug or account.issuer
    if slug != account.issuer and not account.crosses_namespaces:
        raise _no_such_namespace(slug)
    namespace: Namespace | None = Namespace.objects.filter(slug=slug).first()
    if namespace is None:
        raise _no_such_namespace(slug)
    return namespace


def visible_namespaces(account: Account) -> QuerySet[Namespace]:
    """The namespaces that `enter` lets the account into, by name."""
    rows: QuerySet[Namespace] = Namespace.objects.order_by("slug")
    return rows if account.crosses_namespaces else rows.filter(slug=account.issuer)


def account_of(user: User, slug: str) -> Account:
    """The account with which a user who has logged in acts in the namespace `slug`: their own there, or that of an
    admin of the platform's namespace. Raises NotFound alike when there is neither and when there is no such namespace.
    """
    memberships = Membership.objects.across_namespaces().filter(user=user, user__is_active=True)
    roles = dict(
        memberships.filter(namespace__slug__in=[slug, PLATFORM_NAMESPACE]).values_list("namespace__slug", "role")
    )
    if slug in roles:
        return _account(user, slug, roles[slug])
    if roles.get(PLATFORM_NAMESPACE) == Membership.Role.ADMIN:
        return _account(user, PLATFORM_NAMESPACE, Membership.Role.ADMIN)
    raise _no_such_namespace(slug)


def require(account: Account, namespace: Namespace, permission: Permission = Permission.DEPLOY) -> None:
    """Raises PermissionDenied for a namespace that is not the account's, and for what it may not do there."""
    if account.issuer != namespace.slug and not account.crosses_namespaces:
        raise PermissionDenied("access denied to namespace")
    if permission not in GRANTS[role(account)]:
        raise PermissionDenied(f"This needs the permission to {permission}, which a {role(account)} does not have.")


def _account(user: User, slug: str, role: str) -> Account:
    scopes = ("admin",) if role == Membership.Role.ADMIN else ()
    return Account(id=user.username, type="user", issuer=slug, name=user.username, scopes=scopes)


def _no_such_namespace(slug: str) -> NotFound:
    return NotFound(f"Namespace {slug!r} does not exist.")
