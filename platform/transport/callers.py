"""Who calls, in which namespace, and what that lets them do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from micro.errors import PermissionDenied, Unauthenticated

PLATFORM_NAMESPACE = "micro"
SERVICE_SCOPE = "service:"  # and its name: what every account of a service has, and nobody else's


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its token describes it. `issuer` is the namespace it belongs to.

    `user_id` is the person whose membership made it: names come and go, and a namesake is somebody else.
    """

    id: str
    type: str
    issuer: str
    name: str
    scopes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    user_id: int | None = None

    @property
    def crosses_namespaces(self) -> bool:
        """Whether it may act in namespaces that are not its own, as only admins of the platform's namespace may."""
        return self.issuer == PLATFORM_NAMESPACE and "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class Caller:
    """The other end of a call. `metadata` has lower-case keys and neither the token nor what transport itself reads."""

    account: Account | None = None
    namespace: str = PLATFORM_NAMESPACE
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where the call came from: what Envoy added last, since it hands on nothing of a client's own."""
        return self.metadata.get("x-forwarded-for", "").rpartition(",")[2].strip()


Scope = Callable[[Caller], None]


def ANYONE(caller: Caller) -> None:
    """With or without an account."""


def ANY_ACCOUNT(caller: Caller) -> None:
    """Raises Unauthenticated without an account."""
    require_account(caller)


def require_account(caller: Caller) -> Account:
    """The caller's account; raises Unauthenticated when there is none."""
    if caller.account is None:
        raise Unauthenticated("an account is required")
    return caller.account


def authorize(caller: Caller, namespace: str, *, public: bool = False) -> str:
    """The namespace that the caller meant and may act in: `namespace`, or the caller's own when it is blank.

    Raises Unauthenticated without an account and PermissionDenied for a namespace that is not the account's own, unless
    the account crosses namespaces or what is asked for is `public`.
    """
    if public:
        return namespace or (caller.account.issuer if caller.account else caller.namespace)
    account = require_account(caller)
    if namespace in ("", account.issuer) or account.crosses_namespaces:
        return namespace or account.issuer
    raise PermissionDenied("access denied to namespace")
