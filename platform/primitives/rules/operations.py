"""Changes of a namespace's rules. Each wakes the gateway and the sidecars when it commits."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.db import connection, transaction

from micro.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from tenants import quotas
from tenants.models import Namespace
from transport.callers import PLATFORM_NAMESPACE, Account

from . import models
from .access import ALWAYS, ANYTHING, DEFAULT, Rule, denies, grants, refusal
from .records import CHANNEL, book, book_about

MAX_CHARACTERS = 255
MAX_ENDPOINT_CHARACTERS = 1024
PRIORITIES = range(-(2**31), 2**31)

_NAME = re.compile(r"[^\s*:]+")
_ENDPOINT = re.compile(r"[^\s*]+|(?:/[^\s*/]+)*/\*")


def rules_of(*, namespace: str) -> Sequence[Rule]:
    """The rules that hold in the namespace, as they are applied; the default one when none was made.

    Raises NotFound for an unknown namespace.
    """
    if not Namespace.objects.filter(slug=namespace).exists():
        raise _unknown(namespace)
    return [rule for rule in book(namespace).rules if rule not in ALWAYS]


def require_permitted(by: Account, service: str, endpoint: str) -> None:
    """What the gatekeeper asks of calls, for the doors where nobody calls: the dashboard and REST.

    Raises PermissionDenied when the rules of the platform's namespace, or those of the account's own that name the
    service, take the method away.
    """
    rules = book(PLATFORM_NAMESPACE).restriction(service)
    if rules is not None and not grants(rules, endpoint, by, namespace=PLATFORM_NAMESPACE):
        raise refusal(service, endpoint, by)
    own = book_about(by.issuer, [service])
    about = own.of_its_own_about(service) if own and by.issuer != PLATFORM_NAMESPACE else ()
    if denies(about, endpoint, by, namespace=by.issuer):
        raise refusal(service, endpoint, by)


@transaction.atomic
def create(rule: Rule, *, namespace: str) -> None:
    """Add a rule. Before the first one of a namespace its default rule is written down, so that it goes on to hold.

    Raises InvalidArgument for what no call could ever fit, AlreadyExists for an id that is taken, ResourceExhausted
    at the namespace's limit.
    """
    _require_sound(rule)
    row = _locked(namespace)
    own = models.Rule.objects.in_namespace(row)
    if (rule.id == DEFAULT.id and not own.exists()) or own.filter(rule_id=rule.id).exists():
        raise AlreadyExists("A rule with this ID already exists")
    count = own.count()
    if count >= quotas.limit(namespace, "rules"):
        raise ResourceExhausted(
            f"Namespace {namespace!r} has {count} rules, which is its limit: delete one, or widen one that there is."
        )
    _write([rule] if count else [DEFAULT, rule], namespace=row)


@transaction.atomic
def delete(*, namespace: str, id: str) -> None:
    """Take a rule away; an unknown id is no error. When the last one goes, the default rule holds again."""
    if not id:
        raise InvalidArgument("ID missing")
    if models.Rule.objects.in_namespace(_locked(namespace)).filter(rule_id=id).delete()[0]:
        _notify(namespace)


def _write(rules: Sequence[Rule], *, namespace: Namespace) -> None:
    models.Rule.objects.across_namespaces().bulk_create(
        models.Rule(
            namespace=namespace,
            rule_id=rule.id,
            scope=rule.scope,
            type=rule.type,
            name=rule.name,
            endpoint=rule.endpoint,
            access=models.Rule.Access.GRANTED if rule.granted else models.Rule.Access.DENIED,
            priority=rule.priority,
        )
        for rule in rules
    )
    _notify(namespace.slug)


def _locked(namespace: str) -> Namespace:
    """The namespace, its rules changing one at a time until the transaction ends."""
    row: Namespace | None = Namespace.objects.select_for_update(no_key=True).filter(slug=namespace).first()
    if row is None:
        raise _unknown(namespace)
    return row


def _unknown(namespace: str) -> NotFound:
    return NotFound(f"Namespace {namespace!r} does not exist.")


def _notify(namespace: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, namespace])


def _require_sound(rule: Rule) -> None:
    if not rule.id:
        raise InvalidArgument("ID missing")
    if not rule.id.isprintable() or len(rule.id) > MAX_CHARACTERS:
        raise InvalidArgument(f"A rule's ID has at most {MAX_CHARACTERS} characters, all printable.")
    if not rule.scope.isprintable() or len(rule.scope) > MAX_CHARACTERS:
        raise InvalidArgument(f"A rule's scope has at most {MAX_CHARACTERS} characters, all printable.")
    for what, text in (("type", rule.type), ("name", rule.name)):
        if (text != ANYTHING and not _NAME.fullmatch(text)) or len(text) > MAX_CHARACTERS or not text.isprintable():
            raise InvalidArgument(f"A resource's {what} is * or a name of at most {MAX_CHARACTERS} characters.")
    _require_endpoint(rule.endpoint)
    if rule.priority not in PRIORITIES:
        raise InvalidArgument("A rule's priority is a 32-bit number.")


def _require_endpoint(endpoint: str) -> None:
    """Refuse what no call fits: somebody would believe that it protects something."""
    known = endpoint == ANYTHING or _ENDPOINT.fullmatch(endpoint)
    if not known or len(endpoint) > MAX_ENDPOINT_CHARACTERS or not endpoint.isprintable():
        raise InvalidArgument(
            "A resource's endpoint is *, a method such as Helloworld.Call, a path such as /admin, or all below a path "
            f"such as /admin/*, with at most {MAX_ENDPOINT_CHARACTERS} characters."
        )
