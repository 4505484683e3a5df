"""The books of rules, as the gateway and the sidecar read them."""

from __future__ import annotations

from collections.abc import Mapping

from tenants.models import Namespace

from . import models
from .access import Book, Rule

CHANNEL = "rules"


def book(namespace: str) -> Book:
    """The rules that hold in a namespace."""
    return Book.of(namespace, map(_rule, models.Rule.objects.in_namespace(namespace)))


def books() -> Mapping[str, Book]:
    """The books of all namespaces that have rules of their own, by slug."""
    rules: dict[str, list[Rule]] = {}
    slugs = dict(Namespace.objects.values_list("pk", "slug"))
    for row in models.Rule.objects.across_namespaces():
        rules.setdefault(slugs[row.namespace_id], []).append(_rule(row))
    return {namespace: Book.of(namespace, own) for namespace, own in sorted(rules.items())}


def _rule(row: models.Rule) -> Rule:
    return Rule(
        id=row.rule_id,
        scope=row.scope,
        type=row.type,
        name=row.name,
        endpoint=row.endpoint,
        granted=row.access == models.Rule.Access.GRANTED,
        priority=row.priority,
    )
