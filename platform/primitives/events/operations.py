"""Dead letters: keep what a group has given up on, give it back, throw it away."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from micro.errors import FailedPrecondition
from micro.proto.events_pb2 import Event
from transport.tenancy import in_tenant

from . import limits, records, subjects
from .groups import Consumer, Groups
from .models import DeadLetter
from .streams import Streams

BATCH = 200


async def bury(consumer: Consumer, event: Event, *, attempts: int, reason: str, at: datetime) -> None:
    """Keep an event that the consumer's group has given up on; once, however often this is called."""
    await in_tenant(consumer.namespace, _bury, consumer, event, attempts=attempts, reason=reason, at=at)


@transaction.atomic
def _bury(consumer: Consumer, event: Event, *, attempts: int, reason: str, at: datetime) -> None:
    DeadLetter.objects.get_or_create(
        topic=consumer.topic,
        group=consumer.group,
        sequence=event.sequence,
        defaults={"event": event.SerializeToString(), "attempts": attempts, "reason": reason, "died_at": at},
    )
    kept = limits.of(consumer.namespace).dead_letters
    if oldest_kept := DeadLetter.objects.order_by("-id").values_list("id", flat=True)[kept - 1 : kept].first():
        DeadLetter.objects.filter(id__lt=oldest_kept).delete()


async def read(*, namespace: str, topic: str, group: str, after: int, limit: int) -> list[DeadLetter]:
    """The namespace's dead letters, of a topic, of a group, after an id; oldest first."""
    return await in_tenant(namespace, _read, topic=topic, group=group, after=after, limit=limit)


def _read(*, topic: str, group: str, after: int, limit: int) -> list[DeadLetter]:
    return list(DeadLetter.objects.of(topic=topic, group=group).filter(id__gt=after).order_by("id")[:limit])


async def redrive(
    streams: Streams, groups: Groups, *, namespace: str, topic: str, group: str, ids: Collection[int]
) -> int:
    """Give dead letters back to their groups, with all attempts before them; how many.

    Killed half-way, it has given some back and kept the rest. Raises FailedPrecondition when a group is gone.
    """
    count, after = 0, 0
    while letters := await in_tenant(namespace, _batch, topic=topic, group=group, ids=ids, after=after):
        await _require_groups(groups, letters, namespace=namespace)
        for letter in letters:
            await records.append(
                streams,
                _as_published(letter),
                namespace=namespace,
                subject=subjects.redriven(namespace, letter.topic, letter.group),
                message_id=f"redriven-{letter.pk}-{letter.sequence}",
            )
            after = letter.pk
        count += await in_tenant(namespace, _delete, topic=topic, group=group, ids=[letter.pk for letter in letters])
    return count


async def _require_groups(groups: Groups, letters: Collection[DeadLetter], *, namespace: str) -> None:
    for topic, group in {(letter.topic, letter.group) for letter in letters}:
        if not await groups.exists(namespace=namespace, topic=topic, group=group):
            raise FailedPrecondition(f"Group {group!r} of topic {topic!r} is gone; consume in it once, then try again.")


def _batch(*, topic: str, group: str, ids: Collection[int], after: int) -> list[DeadLetter]:
    return list(DeadLetter.objects.selected(topic=topic, group=group, ids=ids).filter(id__gt=after)[:BATCH])


def _as_published(letter: DeadLetter) -> Event:
    event = Event.FromString(bytes(letter.event))
    event.ClearField("sequence")
    event.ClearField("attempt")
    return event


async def delete(*, namespace: str, topic: str, group: str, ids: Collection[int]) -> int:
    """Throw dead letters away; how many."""
    return await in_tenant(namespace, _delete, topic=topic, group=group, ids=ids)


def _delete(*, topic: str, group: str, ids: Collection[int]) -> int:
    return DeadLetter.objects.selected(topic=topic, group=group, ids=ids).delete()[0]
