"""What an account may do in a namespace. Operations ask, so that every edge gets the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from micro.errors import NotFound, PermissionDenied
from transport.callers import Account

from .models import Namespace

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


def require(account: Account, namespace: Namespace, permission: Permission = Permission.DEPLOY) -> None:
    """Raises NotFound for a namespace that the account cannot see, PermissionDenied for what it may not do there."""
    if account.issuer != namespace.slug and not account.crosses_namespaces:
        raise NotFound(f"Namespace {namespace.slug!r} does not exist.")
    if permission not in GRANTS[role(account)]:
        raise PermissionDenied(f"This needs the permission to {permission}, which a {role(account)} does not have.")
