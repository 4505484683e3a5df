"""What a namespace's groups have given up on. Lives in the namespace's own schema."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

from django.db import models


class DeadLetterQuerySet(models.QuerySet["DeadLetter"]):
    """Questions about dead letters."""

    def of(self, *, topic: str = "", group: str = "") -> Self:
        """Those of a topic, of a group; blank means any."""
        chosen = {name: value for name, value in (("topic", topic), ("group", group)) if value}
        return self.filter(**chosen)

    def selected(self, *, topic: str, group: str, ids: Collection[int]) -> Self:
        """Those of a topic and a group, only the ones with these ids when there are any; oldest first."""
        found = self.of(topic=topic, group=group).order_by("id")
        return found.filter(id__in=list(ids)) if ids else found


class DeadLetter(models.Model):
    """An event that a group was given as often as it allows, and never acknowledged."""

    topic = models.TextField()
    group = models.TextField()
    sequence = models.BigIntegerField(help_text="the event's place in the namespace's stream")
    event = models.BinaryField(help_text="the event as it was published: a serialized events.Event")
    attempts = models.BigIntegerField()
    reason = models.TextField()
    died_at = models.DateTimeField()

    objects = DeadLetterQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="an_event_dies_once_for_a_group", fields=["topic", "group", "sequence"])
        ]

    def __str__(self) -> str:
        return f"{self.topic} for {self.group}: {self.reason}"
