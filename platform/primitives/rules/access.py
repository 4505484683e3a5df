"""Who may call what: a namespace's rules, and the one pure function that applies them.

The gateway compiles the same rules for Envoy, after the same order: `tests/primitives/rules/cases.py` drives both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from micro.errors import Error, PermissionDenied, Unauthenticated
from transport.callers import PLATFORM_NAMESPACE, Account

ANYTHING = "*"
PUBLIC, OWN_ACCOUNTS, ALL_ACCOUNTS = "", "*", "+"
SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Rule:
    """`scope` is "" (everybody), `*` (accounts of the namespace), `+` (accounts of any), or a scope's name.

    `type`, `name` and `endpoint` say what it is about; `*` stands for any. An endpoint is `Handler.Method`, a path, or
    `/prefix/*`, which takes in `/prefix` itself.
    """

    id: str
    scope: str = PUBLIC
    type: str = ANYTHING
    name: str = ANYTHING
    endpoint: str = ANYTHING
    granted: bool = True
    priority: int = 0


Restriction = tuple[Rule, ...] | None  # who may call a service; None: everybody may call all of it

DEFAULT = Rule(id="default")  # what a namespace without rules has

# Nobody can lock themselves out: with these one logs in and mends the rules. They check themselves who calls.
ALWAYS = tuple(
    Rule(id=f"always/{endpoint}", type=SERVICE, name="auth", endpoint=endpoint)
    for endpoint in ("Auth.Token", "Auth.Inspect", "Rules.List", "Rules.Create", "Rules.Delete")
)


@dataclass(frozen=True, slots=True)
class Book:
    """The rules of a namespace, in the order in which they are applied: by priority, the highest first, then by id."""

    namespace: str
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, namespace: str, rules: Iterable[Rule]) -> Book:
        """The book of a namespace that has these rules, or the default one when it has none."""
        ordered = sorted(rules, key=lambda rule: (-rule.priority, rule.id)) or [DEFAULT]
        return cls(namespace, (*(ALWAYS if namespace == PLATFORM_NAMESPACE else ()), *ordered))

    def about(self, service: str) -> tuple[Rule, ...]:
        """The rules that can decide a call to `service`, up to the first that decides all of them."""
        found = []
        for rule in self.rules:
            if fold(rule.type) in (ANYTHING, SERVICE) and fold(rule.name) in (ANYTHING, fold(service)):
                found.append(rule)
                if rule.scope == PUBLIC and rule.endpoint == ANYTHING:
                    break
        return tuple(found)

    def of_its_own_about(self, service: str) -> tuple[Rule, ...]:
        """The rules that name this service, `*` being no name: what a namespace says of a platform's service."""
        about = [
            rule for rule in self.rules if fold(rule.type) in (ANYTHING, SERVICE) and fold(rule.name) == fold(service)
        ]
        return (*(rule for rule in ALWAYS if rule.name == service), *about) if about else ()

    def restriction(self, service: str) -> Restriction:
        """The rules about a service; None when they grant everything to everybody, which no rules at all do not."""
        rules = self.about(service)
        if not rules or not all(rule.granted for rule in rules):
            return rules
        return None if rules[-1].scope == PUBLIC and rules[-1].endpoint == ANYTHING else rules


def grants(rules: Sequence[Rule], endpoint: str, account: Account | None, *, namespace: str) -> bool:
    """Whether `account` may call `endpoint` of a service of `namespace`, by the rules about that service.

    The first rule that fits the endpoint and the account decides; without one the call is refused.
    """
    for rule in rules:
        if fits_endpoint(rule.endpoint, endpoint) and _fits_account(rule.scope, account, namespace):
            return rule.granted
    return False


def denies(rules: Sequence[Rule], endpoint: str, account: Account, *, namespace: str) -> bool:
    """Whether the first rule that fits takes the call away; where none fits, nothing is."""
    for rule in rules:
        if fits_endpoint(rule.endpoint, endpoint) and _fits_account(rule.scope, account, namespace):
            return not rule.granted
    return False


def refusal(service: str, endpoint: str, account: Account | None) -> Error:
    """What the caller of a call that is not granted is told."""
    if account is None:
        return Unauthenticated(f"Unauthorized call made to {service}:{endpoint}", id=service)
    return PermissionDenied(f"Forbidden call made to {service}:{endpoint} by {account.id}", id=service)


def fits_endpoint(pattern: str, endpoint: str) -> bool:
    """Whether a rule's endpoint takes in the one that is called. Letters of either case are the same."""
    pattern, endpoint = fold(pattern), fold(endpoint)
    if pattern.endswith("/*"):
        prefix = pattern.removesuffix("/*")
        return endpoint.startswith("/") and (endpoint == prefix or endpoint.startswith(f"{prefix}/"))
    return pattern in (ANYTHING, endpoint)


def _fits_account(scope: str, account: Account | None, namespace: str) -> bool:
    if scope == PUBLIC:
        return True
    if account is None:
        return False
    if scope == ALL_ACCOUNTS:
        return True
    return account.issuer == namespace and (scope == OWN_ACCOUNTS or scope in account.scopes)


def fold(text: str) -> str:
    """`text` with A to Z made small and nothing else changed, as Envoy and Lua do it."""
    return text.encode().lower().decode()
