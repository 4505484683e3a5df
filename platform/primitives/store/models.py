"""Records of all namespaces, in one table of the public schema.

The rows are read by `records` and written by `operations` alone, without the ORM; here is only their shape. There is no
foreign key in the database: its check would lock the namespace's row on every write.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.models import Namespace
from tenants.scoping import NamespacedManager


class Record(models.Model):
    """A value under a key of a table. Sorted by the bytes of the key."""

    pk = models.CompositePrimaryKey("namespace_id", "table", "key")
    namespace = models.ForeignKey(
        Namespace, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    table = models.TextField(db_collation="C")
    key = models.TextField(db_collation="C")
    value = models.BinaryField()
    metadata = models.JSONField(null=True, help_text="{name: [type, value]}; null when there is none.")
    version = models.BigIntegerField(help_text="Of the namespace's counter when this was written: never used twice.")
    size_bytes = models.BigIntegerField(help_text="What the quota counts: key, value and metadata.")
    expires_at = models.DateTimeField(null=True, help_text="From then on nobody sees it; it is removed later.")

    objects = NamespacedManager()

    class Meta:
        indexes = [
            models.Index(name="records_that_expire", fields=["expires_at"], condition=Q(expires_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.table}/{self.key}"


class Usage(models.Model):
    """What a namespace stores. Every change of its records locks this row, so the counts are exact."""

    namespace = models.OneToOneField(
        Namespace, primary_key=True, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    records = models.BigIntegerField(default=0, db_default=0)
    size_bytes = models.BigIntegerField(default=0, db_default=0)
    version = models.BigIntegerField(default=0, db_default=0, help_text="The last version given to a record.")

    objects = NamespacedManager()

    def __str__(self) -> str:
        return f"{self.records} records, {self.size_bytes} bytes"
