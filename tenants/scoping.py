"""The first wall between tenants: rows of a namespace cannot be read until somebody has said which namespace.

A model with a foreign key `namespace` takes `objects = NamespacedManager()`, or with questions of its own
`objects = NamespacedManager.from_queryset(OwnQuerySet)()`, where `OwnQuerySet` derives from `NamespacedQuerySet`.
Related managers, such as `service.releases`, are scoped by their instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models

if TYPE_CHECKING:
    from .models import Namespace

_Model = TypeVar("_Model", bound=models.Model)

# Everything by which a queryset reaches the database or becomes part of another statement.
_EVALUATIONS = (
    *("_fetch_all", "_iterator", "iterator", "aiterator", "raw", "explain", "in_bulk", "earliest", "latest"),
    *("count", "exists", "contains", "aggregate", "update", "_update", "delete", "_raw_delete"),
    *("resolve_expression", "union", "intersection", "difference"),
)


class Unscoped(RuntimeError):
    """A queryset was evaluated without a namespace: our own mistake, never the caller's."""


class NamespacedQuerySet(models.QuerySet[_Model]):
    """A queryset that raises Unscoped at evaluation unless `in_namespace` or `across_namespaces` came first."""

    _is_scoped = False

    def in_namespace(self, namespace: Namespace | str) -> Self:
        """Only the rows of `namespace`, which is a Namespace or the slug of one."""
        field = "namespace__slug" if isinstance(namespace, str) else "namespace"
        return self.filter(**{field: namespace}).across_namespaces()

    def across_namespaces(self) -> Self:
        """The rows of all namespaces: for the runner, the gateway and housekeeping, never for a caller's request."""
        scoped = self.all()
        scoped._is_scoped = True
        return scoped

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._is_scoped = self._is_scoped
        return clone

    def _merge_sanity_check(self, other: Any) -> None:
        super()._merge_sanity_check(other)  # type: ignore[misc]
        for side in (self, other):
            _require_scope(side, "combined")


def _require_scope(queryset: NamespacedQuerySet[Any], use: str) -> None:
    if not queryset._is_scoped:
        raise Unscoped(f"{queryset.model.__name__}: {use} without in_namespace() or across_namespaces().")


def _guarded(name: str) -> Any:
    original = getattr(models.QuerySet, name)

    def guarded(self: NamespacedQuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        _require_scope(self, name)
        return original(self, *args, **kwargs)

    guarded.__name__, guarded.__doc__ = name, original.__doc__
    guarded.__dict__.update(original.__dict__)  # Django's own marks: alters_data, queryset_only
    return guarded


for _name in _EVALUATIONS:
    setattr(NamespacedQuerySet, _name, _guarded(_name))


class NamespacedManager(models.Manager[_Model]):
    """The manager of every model that has a namespace."""

    _queryset_class = NamespacedQuerySet

    def get_queryset(self) -> NamespacedQuerySet[_Model]:
        """A queryset without a scope; as a related manager, one scoped by the instance."""
        queryset: NamespacedQuerySet[_Model] = super().get_queryset()  # type: ignore[assignment]
        return queryset.across_namespaces() if getattr(self, "instance", None) is not None else queryset

    def in_namespace(self, namespace: Namespace | str) -> NamespacedQuerySet[_Model]:
        """See NamespacedQuerySet.in_namespace."""
        return self.get_queryset().in_namespace(namespace)

    def across_namespaces(self) -> NamespacedQuerySet[_Model]:
        """See NamespacedQuerySet.across_namespaces."""
        return self.get_queryset().across_namespaces()
