"""The doors: every edge and every operation asks here, so that all get the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import QuerySet

from micro.errors import NotFound, PermissionDenied
from tenants.models import Membership, Namespace, User
from transport.callers import PLATFORM_NAMESPACE, Account, Caller, require_account

from .named import named
from .permissions import GRANTABLE, Permission, Reach
from .roles import TABLE, USER, Role, role, service_of


def reach(account: Account, permission: Permission) -> Reach:
    """How far the account's permission goes in the namespaces that it may enter: by its role, and by its grants."""
    return _reaches(role(account), account.issuer == PLATFORM_NAMESPACE, account.scopes)[permission]


@lru_cache(maxsize=4096)
def _reaches(role: Role, is_of_platform: bool, scopes: tuple[str, ...]) -> Mapping[Permission, Reach]:
    granted = frozenset().union(*map(named, scopes)) if role in (Role.SERVICE, Role.PROGRAM) else frozenset()
    reaches = {**TABLE[role], **dict.fromkeys(granted, Reach.ALL)}
    if is_of_platform and role is Role.MEMBER:  # what runs there is at every tenant's service
        reaches[Permission.RUNTIME_DEPLOY] = Reach.NONE
    return reaches


@dataclass(frozen=True, slots=True)
class Needs:
    """A scope: the method, route or page is for accounts that have the permission, at least so far."""

    permission: Permission
    least: Reach = Reach.OWN

    def __call__(self, caller: Caller) -> None:
        """Raises Unauthenticated without an account, PermissionDenied without the permission."""
        account = require_account(caller)
        if reach(account, self.permission) < self.least:
            raise refusal(account, self.permission)


def needs(permission: Permission, *, least: Reach = Reach.OWN) -> Needs:
    """What a method declares that asks for a permission. One whose reach may be OWN looks at what is meant, too."""
    return Needs(permission, least)


def require_own(account: Account, permission: Permission, *, is_own: bool) -> None:
    """Raises PermissionDenied unless the permission reaches what is meant, which may be the account's own."""
    if reach(account, permission) < (Reach.OWN if is_own else Reach.ALL):
        raise refusal(account, permission)


def require(account: Account, namespace: Namespace, permission: Permission) -> None:
    """Raises PermissionDenied for a namespace that is not the account's, and for what it may not do there."""
    if account.issuer != namespace.slug and not account.crosses_namespaces:
        raise PermissionDenied("access denied to namespace")
    if reach(account, permission) is Reach.NONE:
        raise refusal(account, permission)


def enter(account: Account, slug: str, permission: Permission) -> Namespace:
    """The namespace `slug`, or the account's own when it is blank, for who has the permission there.

    Raises NotFound alike for one that does not exist and one that is not theirs to see, PermissionDenied without the
    permission.
    """
    slug = slug or account.issuer
    if slug != account.issuer and not account.crosses_namespaces:
        raise _no_such_namespace(slug)
    namespace: Namespace | None = Namespace.objects.filter(slug=slug).first()
    if namespace is None:
        raise _no_such_namespace(slug)
    require(account, namespace, permission)
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


def refusal(account: Account, permission: Permission) -> PermissionDenied:
    """What the account is told that lacks a permission: which one, and how to come by it."""
    if permission is Permission.PLATFORM_OPERATE:
        return PermissionDenied(f"Only admins of the namespace {PLATFORM_NAMESPACE} may do this.")
    way, who = "", f"the role {role(account)}"
    if service := service_of(account):
        who = f"the service {service}"
        kept = [scope for scope in account.scopes if named(scope)]  # --grant says all grants there are to be
        way = ": ask for it with micro run" + "".join(f" --grant {grant}" for grant in (*kept, permission))
    elif role(account) is Role.PROGRAM:
        who = f"the account {account.id}"
        way = f": an admin can give it the scope {permission}"
    known = way if permission in GRANTABLE else ""
    return PermissionDenied(f"This needs the permission {permission}, which {who} does not have{known}.")


def _account(user: User, slug: str, role: str) -> Account:
    scopes = ("admin",) if role == Membership.Role.ADMIN else ()
    name = user.username
    return Account(id=name, type=USER, issuer=slug, name=name, scopes=scopes, user_id=user.pk)


def _no_such_namespace(slug: str) -> NotFound:
    return NotFound(f"Namespace {slug!r} does not exist.")
