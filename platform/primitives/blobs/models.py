"""What is known of a namespace's blobs; in its own schema. The bytes are elsewhere, under names that nobody chose."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Blob(models.Model):
    """A blob under the key that its owner gave it."""

    key = models.TextField(primary_key=True, db_collation="C")
    object = models.CharField(max_length=100, unique=True, help_text="Its name in the storage.")
    size_bytes = models.BigIntegerField()
    content_type = models.CharField(max_length=255, blank=True)
    is_public = models.BooleanField(default=False, help_text="Anybody may read it, with or without an account.")
    sha256 = models.CharField(max_length=64)
    owner = models.CharField(max_length=63, blank=True, help_text="The service that wrote it; blank: anybody else.")
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.key


class Leftover(models.Model):
    """An object that no blob names: not yet, or no longer. Whoever finds an old one deletes the object."""

    object = models.CharField(primary_key=True, max_length=100)
    since = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.object
