"""`micro broker`: messages to whoever is there."""

from __future__ import annotations

import json

import click

from .commands import Group
from .numbers import Number
from .output import output_option
from .session import Session, pass_session


@click.group(cls=Group)
def broker() -> None:
    """Publish messages and subscribe to them; nothing is kept."""


@broker.command()
@click.argument("topic")
@click.argument("body", nargs=-1)
@click.option("--header", multiple=True, help="A header as key=value; may be given several times.")
@pass_session
def publish(session: Session, topic: str, body: tuple[str, ...], header: tuple[str, ...]) -> None:
    """Send a message to everybody who is subscribed now.

    The body is its words joined by spaces; - reads it from stdin.
    """
    from micro import broker as sdk

    from .events import key_and_value, said

    sdk.publish(topic, said(body), header=dict(map(key_and_value, header)), client=session.client)


@broker.command()
@click.argument("topic")
@click.option("--queue", "-q", default="", help="Of all subscribers with the same queue, one gets each message.")
@click.option("--count", "-n", type=Number(), default=0, help="Stop after so many messages.")
@output_option(meaning="one object a line")
@pass_session
def subscribe(session: Session, topic: str, queue: str, count: int, output: str) -> None:
    """Print messages as they come, until Ctrl-C."""
    from micro import broker as sdk

    with sdk.subscribe(topic, queue=queue, client=session.client) as messages:
        for number, message in enumerate(messages, 1):
            body = message.body.decode(errors="backslashreplace")
            known = {"header": dict(message.header), "body": body}
            click.echo(json.dumps(known, ensure_ascii=False) if output == "json" else body)
            if number == count:
                break
