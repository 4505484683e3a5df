from __future__ import annotations

import pytest
from django.apps import apps
from django.db import models

from tenants.models import Membership, Namespace, User
from tenants.operations import create_namespace
from tenants.scoping import NamespacedManager, Unscoped

EVALUATIONS = {
    "list": list,
    "len": len,
    "bool": bool,
    "first": lambda rows: rows.first(),
    "get": lambda rows: rows.get(pk=1),
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "aggregate": lambda rows: rows.aggregate(models.Max("id")),
    "values_list": lambda rows: list(rows.values_list("id")),
    "iterator": lambda rows: list(rows.iterator()),
    "in_bulk": lambda rows: rows.in_bulk(),
    "latest": lambda rows: rows.latest("id"),
    "update": lambda rows: rows.update(role="member"),
    "bulk_update": lambda rows: rows.bulk_update([Membership(pk=1, role="member")], ["role"]),
    "delete": lambda rows: rows.delete(),
    "raw_delete": lambda rows: rows._raw_delete("default"),
    "raw": lambda rows: rows.raw("SELECT * FROM tenants_membership"),
    "contains": lambda rows: rows.contains(Membership(pk=1)),
    "get_or_create": lambda rows: rows.get_or_create(role="member"),
    "update_or_create": lambda rows: rows.update_or_create(role="member"),
    "explain": lambda rows: rows.explain(),
    "subquery": lambda rows: list(User.objects.filter(memberships__in=rows)),
    "union": lambda rows: list(rows.union(rows.across_namespaces())),
    "or": lambda rows: list(rows.across_namespaces() | rows),
    "and": lambda rows: list(rows & rows.across_namespaces()),
    "xor": lambda rows: list(rows.across_namespaces() ^ rows),
}


@pytest.fixture
def two_memberships(db):
    joe, ann = (User.objects.create_user(name) for name in ("joe", "ann"))
    return create_namespace(slug="first", owner=joe), create_namespace(slug="second", owner=ann)


@pytest.mark.parametrize("evaluate", EVALUATIONS.values(), ids=EVALUATIONS)
@pytest.mark.parametrize("start", ["all", "filter"])
def test_no_evaluation_reaches_the_database_without_a_namespace(db, start, evaluate):
    with pytest.raises(Unscoped):
        evaluate(getattr(Membership.objects, start)())


def test_a_scoped_queryset_holds_the_rows_of_its_namespace_only(two_memberships):
    first, _ = two_memberships
    assert [row.user.username for row in Membership.objects.in_namespace(first)] == ["joe"]
    assert [row.user.username for row in Membership.objects.in_namespace("second").filter(role="admin")] == ["ann"]
    assert Membership.objects.filter(role="admin").in_namespace("absent").count() == 0
    assert Membership.objects.across_namespaces().count() == 2


def test_scoping_a_queryset_leaves_the_one_it_came_from_unscoped(two_memberships):
    rows = Membership.objects.all()
    rows.across_namespaces()
    with pytest.raises(Unscoped):
        list(rows)


def test_a_related_manager_is_scoped_by_its_instance(two_memberships):
    first, second = two_memberships
    assert [row.user.username for row in first.memberships.all()] == ["joe"]
    prefetched = Namespace.objects.prefetch_related("memberships").get(pk=second.pk)
    assert [row.user.username for row in prefetched.memberships.all()] == ["ann"]


def test_every_model_with_a_namespace_has_a_manager_that_asks_for_it():
    owned = [model for model in apps.get_models() if any(field.name == "namespace" for field in model._meta.fields)]
    assert Membership in owned
    assert [model for model in owned if not isinstance(model._default_manager, NamespacedManager)] == []
