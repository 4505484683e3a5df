"""Trees of values of all namespaces, and what became of them, in the public schema.

A tree is the set of its leaves. A leaf never changes: its row is closed by the revision that ends it, so that the
tree of any revision is a question about numbers. Read by `records`, written by `operations`, without the ORM.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from tenants.models import Namespace
from tenants.scoping import NamespacedManager


class Tree(models.Model):
    """A namespace's configuration. Every change locks this row, so that revisions follow one another without gaps."""

    namespace = models.OneToOneField(
        Namespace, primary_key=True, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    revision = models.BigIntegerField(default=0, db_default=0)
    oldest = models.BigIntegerField(default=1, db_default=1, help_text="The first revision that can still be read.")
    closed_bytes = models.BigIntegerField(default=0, db_default=0, help_text="Of the leaves of the past.")

    objects = NamespacedManager()

    def __str__(self) -> str:
        return f"revision {self.revision}"


class Revision(models.Model):
    """One change: when, by whom, of what."""

    pk = models.CompositePrimaryKey("namespace_id", "number")
    namespace = models.ForeignKey(
        Namespace, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    number = models.BigIntegerField()
    at = models.DateTimeField()
    by = models.TextField(help_text="The id of an account.")
    action = models.CharField(max_length=6, choices=[("set", "set"), ("delete", "delete")])
    path = ArrayField(models.TextField())

    objects = NamespacedManager()

    class Meta:
        indexes = [models.Index(name="config_revision_by_time", fields=["namespace", "at"])]

    def __str__(self) -> str:
        return f"{self.number}: {self.action} {'.'.join(self.path)}"


class Leaf(models.Model):
    """A value from the revision `since` on, up to and without the revision `until`."""

    namespace = models.ForeignKey(
        Namespace, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    path = ArrayField(models.TextField())
    value = models.TextField(help_text="JSON; of a secret, blank.")
    sealed = models.BinaryField(null=True, help_text="The encrypted JSON of a secret; null for other leaves.")
    size_bytes = models.BigIntegerField()
    since = models.BigIntegerField()
    until = models.BigIntegerField(null=True)

    objects = NamespacedManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="a_path_has_one_value_at_a_time", fields=["namespace", "path"], condition=Q(until__isnull=True)
            )
        ]
        indexes = [
            models.Index(name="leaves_by_beginning", fields=["namespace", "since"]),
            models.Index(name="leaves_by_end", fields=["namespace", "until"]),
        ]

    def __str__(self) -> str:
        return ".".join(self.path)
