"""What an account is, and the one table of what each role may do. A new role is a new column."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from transport.callers import PLATFORM_NAMESPACE, SERVICE_SCOPE, Account

from .permissions import Permission, Reach

API_TOKEN = "token"  # noqa: S105 - the type of an account that is an API token
USER = "user"  # the type of a member's account, which nobody else's has


class Role(StrEnum):
    """What an account is in its namespace."""

    READER = "reader"  # an API token that only looks
    MEMBER = "member"
    ADMIN = "admin"
    OPERATOR = "operator"  # an admin of the platform's namespace
    SERVICE = "service"  # what the platform runs, as itself
    PROGRAM = "program"  # an account of Auth.Generate


NONE, OWN, ALL = Reach.NONE, Reach.OWN, Reach.ALL
COLUMNS = (Role.READER, Role.MEMBER, Role.ADMIN, Role.OPERATOR, Role.SERVICE, Role.PROGRAM)
_ROWS: Mapping[Permission, tuple[Reach, ...]] = {
    #                               reader member admin operator service program
    Permission.RUNTIME_READ: (ALL, ALL, ALL, ALL, NONE, ALL),
    Permission.RUNTIME_DEPLOY: (NONE, ALL, ALL, ALL, NONE, NONE),
    Permission.LOGS_READ: (ALL, ALL, ALL, ALL, NONE, NONE),
    Permission.VARIABLES_READ: (NONE, ALL, ALL, ALL, NONE, NONE),
    Permission.STORE_READ: (NONE, ALL, ALL, ALL, OWN, OWN),
    Permission.STORE_WRITE: (NONE, ALL, ALL, ALL, OWN, NONE),
    Permission.BLOBS_READ: (NONE, ALL, ALL, ALL, OWN, NONE),
    Permission.BLOBS_WRITE: (NONE, ALL, ALL, ALL, OWN, NONE),
    Permission.CONFIG_READ: (NONE, ALL, ALL, ALL, OWN, ALL),
    Permission.CONFIG_WRITE: (NONE, ALL, ALL, ALL, OWN, NONE),
    Permission.SECRETS_READ: (NONE, ALL, ALL, ALL, OWN, NONE),
    Permission.EVENTS_READ: (NONE, ALL, ALL, ALL, ALL, ALL),
    Permission.EVENTS_WRITE: (NONE, ALL, ALL, ALL, ALL, ALL),
    Permission.EVENTS_DELETE: (NONE, ALL, ALL, ALL, NONE, NONE),
    Permission.BROKER_READ: (NONE, ALL, ALL, ALL, ALL, ALL),
    Permission.BROKER_WRITE: (NONE, ALL, ALL, ALL, ALL, ALL),
    Permission.REGISTRY_READ: (ALL, ALL, ALL, ALL, ALL, ALL),
    Permission.REGISTRY_WRITE: (NONE, ALL, ALL, ALL, OWN, NONE),
    Permission.NETWORK_READ: (ALL, ALL, ALL, ALL, ALL, ALL),
    Permission.ACCOUNTS_READ: (NONE, NONE, ALL, ALL, NONE, NONE),
    Permission.ACCOUNTS_WRITE: (NONE, OWN, ALL, ALL, NONE, NONE),
    Permission.RULES_READ: (NONE, ALL, ALL, ALL, ALL, ALL),
    Permission.RULES_WRITE: (NONE, NONE, ALL, ALL, NONE, NONE),
    Permission.SECRET_CHANGE: (NONE, ALL, ALL, ALL, NONE, ALL),
    Permission.TOKENS_READ: (OWN, OWN, ALL, ALL, NONE, NONE),
    Permission.TOKENS_WRITE: (NONE, OWN, ALL, ALL, NONE, NONE),
    Permission.MEMBERS_WRITE: (NONE, NONE, ALL, ALL, NONE, NONE),
    Permission.NAMESPACES_READ: (ALL, ALL, ALL, ALL, ALL, ALL),
    Permission.PLATFORM_OPERATE: (NONE, NONE, NONE, ALL, NONE, NONE),
}
TABLE: Mapping[Role, Mapping[Permission, Reach]] = {
    role: {permission: row[column] for permission, row in _ROWS.items()} for column, role in enumerate(COLUMNS)
}


def role(account: Account) -> Role:
    """What the account is. Scopes of programs are the tenant's own words, but for `admin`."""
    if service_of(account):
        return Role.SERVICE
    if "admin" in account.scopes:
        return Role.OPERATOR if account.issuer == PLATFORM_NAMESPACE else Role.ADMIN
    if account.type == API_TOKEN:
        return Role.MEMBER if Role.MEMBER in account.scopes else Role.READER
    return Role.MEMBER if account.type == USER else Role.PROGRAM


def service_of(account: Account) -> str:
    """The name of the service whose account it is; blank for others. Auth.Generate gives nobody such a scope."""
    return next((scope[len(SERVICE_SCOPE) :] for scope in account.scopes if scope.startswith(SERVICE_SCOPE)), "")
