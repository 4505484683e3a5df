"""The books of rules, as the gateway and the sidecar read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models.functions import Lower

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


def books_about(services: Collection[str]) -> Mapping[str, Book]:
    """The same with only the rules that name one of these services."""
    rows = models.Rule.objects.across_namespaces().annotate(folded=Lower("name")).filter(folded__in=services)
    slugs = dict(Namespace.objects.filter(rules__in=rows).values_list("pk", "slug"))
    rules: dict[str, list[Rule]] = {}
    for row in rows:
        rules.setdefault(slugs[row.namespace_id], []).append(_rule(row))
    return {namespace: Book.of(namespace, own) for namespace, own in rules.items()}


def book_about(namespace: str, services: Collection[str]) -> Book | None:
    """The rules of one namespace that name one of these services; None when there is none."""
    rows = models.Rule.objects.in_namespace(namespace).annotate(folded=Lower("name")).filter(folded__in=services)
    rules = [_rule(row) for row in rows]
    return Book.of(namespace, rules) if rules else None


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
