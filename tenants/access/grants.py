"""Grants: permissions that a service or a program has beyond its role, named by words among its scopes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from micro.errors import InvalidArgument, PermissionDenied
from transport.callers import SERVICE_SCOPE, Account

from .actors import reach
from .named import named
from .permissions import GRANTABLE, POWERS, Permission, Reach
from .roles import Role, role

NOTHING = "none"  # the word that takes all grants away
MOST = 40


def require_grants(names: Iterable[str]) -> list[str]:
    """The grants, sorted, each once; `none` stands for no grant at all.

    Raises InvalidArgument for one that is no permission which can be granted.
    """
    found = sorted(set(names) - {"", NOTHING})
    for name in found:
        if not named(name):
            raise InvalidArgument(
                f"There is no grant {name[:60]!r}. A grant is one of {', '.join(sorted(GRANTABLE))}, "
                "or all of a kind such as store.*."
            )
    if len(found) > MOST:
        raise InvalidArgument(f"A service has at most {MOST} grants.")
    return found


def require_may_grant(by: Account, names: Iterable[str]) -> None:
    """Raises PermissionDenied unless `by` has what each of these grants gives; powers take an admin."""
    for name in names:
        for permission in sorted(named(name)):
            if not _may_give(by, permission):
                who = "an admin" if permission in POWERS else "somebody who has it"
                raise PermissionDenied(f"The grant {name} takes {who}; a {role(by)} cannot give it.")


def require_may_give(by: Account, scopes: Sequence[str]) -> None:
    """Raises PermissionDenied unless `by` may make an account with these scopes.

    Admins give any scope, everybody else scopes of their own and the permissions that they could grant. The scopes of
    services are nobody's to give.
    """
    for scope in scopes:
        if scope.startswith(SERVICE_SCOPE):
            raise InvalidArgument(f"The scope {scope[:100]} belongs to a service that the platform runs.")
        if scope in by.scopes or role(by) in (Role.ADMIN, Role.OPERATOR):
            continue
        if not named(scope):
            raise PermissionDenied(f"the scope admin is required to give the scope {scope}")
        require_may_grant(by, [scope])


def _may_give(by: Account, permission: Permission) -> bool:
    if permission in POWERS:
        return role(by) in (Role.ADMIN, Role.OPERATOR)
    return reach(by, permission) is Reach.ALL
