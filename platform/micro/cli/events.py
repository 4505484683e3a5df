"""`micro events`: publish, consume, read, and look after groups and dead letters."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from .commands import Group
from .failures import Failure
from .numbers import Number
from .output import output_option, show, show_table
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.events import Event

_GROUP = click.option("--group", "-g", default="", help="The group to consume in, or whose letters are meant.")
_OUTPUT = output_option(meaning="one object a line")
_SINCE = click.option("--since", default="", help="Begin so long ago, e.g. 10m or 24h.")


@click.group(cls=Group)
def events() -> None:
    """Publish and consume events, which topics keep for a while."""


@events.command()
@click.argument("topic")
@click.argument("payload", nargs=-1)
@click.option("--metadata", multiple=True, help="A header as key=value; may be given several times.")
@click.option("--id", "id_", default="", help="An id of your own: an event is published once.")
@output_option()
@pass_session
def publish(
    session: Session, topic: str, payload: tuple[str, ...], metadata: tuple[str, ...], id_: str, output: str
) -> None:
    """Publish an event, and print its id once it is on disk.

    micro events publish orders '{"id": 7}'

    The payload is its words joined by spaces; - reads it from stdin.
    """
    from micro import events as sdk

    headers = dict(map(key_and_value, metadata))
    made = sdk.publish(topic, said(payload), metadata=headers, id=id_, client=session.client)
    show({"id": made}, [made], output)


@events.command()
@click.argument("topic")
@_GROUP
@_SINCE
@click.option("--after", type=Number(), help="Begin after this sequence; 0 means with everything that is kept.")
@click.option("--count", "-n", type=Number(), default=0, help="Stop after so many events.")
@_OUTPUT
@pass_session
def consume(session: Session, topic: str, group: str, since: str, after: int | None, count: int, output: str) -> None:
    """Print events as they come, until Ctrl-C.

    Without a group, all of them from now on. With one, those that wait for the group, which then count as handled;
    --since and --after say where a new group begins.
    """
    from micro import events as sdk

    consumer = sdk.consume(topic, group=group, since=_ago(since), after=after, client=session.client)
    with consumer:
        for number, event in enumerate(consumer, 1):
            click.echo(_shown(event, output))
            if number == count:
                event.ack()
                break


@events.command()
@click.argument("topic")
@_SINCE
@click.option("--after", type=Number(), help="Only events after this sequence.")
@click.option("--limit", "-l", type=Number(), default=250, help="At most so many (250).")
@_OUTPUT
@pass_session
def read(session: Session, topic: str, since: str, after: int | None, limit: int, output: str) -> None:
    """Print the events that a topic keeps, oldest first."""
    from micro import events as sdk

    for event in sdk.read(topic, since=_ago(since), after=after, limit=limit, client=session.client):
        click.echo(_shown(event, output))


@events.command()
@click.argument("topic", required=False, default="", metavar="[TOPIC]")
@click.option("--delete", "deleted", default="", help="Forget this group of the topic, and what waits for it.")
@output_option("table")
@pass_session
def groups(session: Session, topic: str, deleted: str, output: str) -> None:
    """List groups: how many events wait for each, and how many wait for its acknowledgement."""
    from micro import events as sdk

    if deleted:
        if not topic:
            raise Failure("Say of which topic: micro events groups TOPIC --delete GROUP")
        sdk.delete_group(topic, deleted, client=session.client)
        return
    found = sdk.groups(topic, client=session.client)
    documents = [
        {"topic": each.topic, "name": each.name, "waiting": each.waiting, "unacknowledged": each.unacknowledged}
        for each in found
    ]
    rows = [(group.topic, group.name, str(group.waiting), str(group.unacknowledged)) for group in found]
    show_table(documents, ("TOPIC", "GROUP", "WAITING", "UNACKNOWLEDGED"), rows, output)


@events.command()
@click.argument("topic", required=False, default="", metavar="[TOPIC]")
@_GROUP
@click.option("--id", "ids", type=Number(), multiple=True, help="This letter only; may be given several times.")
@click.option("--redrive", is_flag=True, help="Give them back to their groups, as new.")
@click.option("--delete", "is_deletion", is_flag=True, help="Throw them away.")
@_OUTPUT
@pass_session
def dead(
    session: Session, topic: str, group: str, ids: tuple[int, ...], redrive: bool, is_deletion: bool, output: str
) -> None:
    """List what groups have given up on, give it back to them, or throw it away.

    micro events dead orders --group billing --redrive
    """
    from micro import events as sdk

    if redrive and is_deletion:
        raise Failure("Either --redrive or --delete.")
    if redrive or is_deletion:
        change = sdk.redrive if redrive else sdk.delete_dead
        count = change(topic, group=group, ids=ids, client=session.client)
        click.echo(f"{count} {'redriven' if redrive else 'deleted'}", err=True)
        return
    letters = [letter for letter in sdk.dead(topic, group=group, client=session.client) if not ids or letter.id in ids]
    if output == "json":
        for letter in letters:
            known = {"id": letter.id, "group": letter.group, "attempts": letter.attempts, "reason": letter.reason}
            click.echo(json.dumps(known | {"event": _document(letter.event)}, ensure_ascii=False))
    elif letters:
        _table(
            ("ID", "TOPIC", "GROUP", "ATTEMPTS", "DIED", "REASON", "PAYLOAD"),
            [
                (
                    str(letter.id), letter.event.topic, letter.group, str(letter.attempts),
                    f"{letter.died:%Y-%m-%dT%H:%M:%SZ}", letter.reason, _text(letter.event.payload)[:60],
                )
                for letter in letters
            ],
        )  # fmt: skip


def said(words: Sequence[str]) -> bytes:
    """Words joined by spaces; a single - is what stdin has."""
    return sys.stdin.buffer.read() if list(words) == ["-"] else " ".join(words).encode()


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Tab-separated, as every table of this command line is in a pipe."""
    for row in (header, *rows):
        click.echo("\t".join(row))


def _shown(event: Event, output: str) -> str:
    return json.dumps(_document(event), ensure_ascii=False) if output == "json" else _text(event.payload)


def _document(event: Event) -> dict[str, object]:
    return {
        "id": event.id,
        "topic": event.topic,
        "payload": _text(event.payload),
        "metadata": dict(event.metadata),
        "timestamp": f"{event.timestamp:%Y-%m-%dT%H:%M:%SZ}",
        "sequence": event.sequence,
        "attempt": event.attempt,
    }


def _text(payload: bytes) -> str:
    """As text; bytes that are none as \\x escapes."""
    return payload.decode(errors="backslashreplace")


def key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Failure(f"Say key=value, not {text}.")
    return key, value


def _ago(text: str) -> datetime | None:
    from .services import seconds

    return datetime.fromtimestamp(time.time() - seconds(text), UTC) if text else None
