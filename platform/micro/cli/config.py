"""`micro config`: the configuration of services, now and as it was."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from .commands import Group
from .failures import Failure
from .numbers import INT64_MAX, Number
from .output import output_option, show
from .session import Session, pass_session

HEADER = ("REVISION", "TIME", "BY", "PATH", "CHANGE")
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
MAX_DIGITS = len(str(INT64_MAX))
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}

_SECRET = click.option("--secret", "-s", is_flag=True, help="Show secrets instead of [secret].")


@click.group(cls=Group)
def config() -> None:
    """Show, change and look back on the configuration of services.

    Values are JSON in a tree, addressed by dotted paths: db.host is the member host of what is at db.
    """


@config.command()
@click.argument("key", default="")
@_SECRET
@click.option("--all", "is_all", is_flag=True, help="Everything, without a KEY.")
@output_option()
@click.option("--as-of", help="As it was: a revision (12), a time (2026-01-31T12:00:00Z), or so long ago (10m).")
@pass_session
def get(session: Session, key: str, secret: bool, is_all: bool, output: str, as_of: str | None) -> None:
    """Print the value under KEY.

    Text is printed as it is, everything else as JSON. Without a KEY, everything.
    """
    from micro import config

    if is_all and key:
        raise Failure("Say a KEY or --all, not both")
    when = _as_of(as_of, at=datetime.now(UTC)) if as_of else None
    text = config.text(key, is_secret=secret, as_of=when, client=session.client)
    if text == "null":
        raise Failure("Not found")
    show(json.loads(text), [json.loads(text) if text.startswith('"') else text], output)


@config.command("set")
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.option("--secret", "-s", is_flag=True, help="Keep it encrypted; show it only to those who ask.")
@pass_session
def set_value(session: Session, key: str | None, value: str | None, secret: bool) -> None:
    """Set the value under KEY.

    VALUE is JSON, or else text. An object is merged into what is there; everything else replaces it.
    """
    from micro import config

    if key is None or value is None:
        raise Failure("Missing path or value")
    config.set_text(key, _as_json(value), is_secret=secret, client=session.client)


@config.command("del")
@click.argument("key")
@pass_session
def delete(session: Session, key: str) -> None:
    """Remove what is under KEY and below it."""
    from micro import config

    if not key:
        raise Failure("Key cannot be blank: that would be everything")
    config.delete(key, client=session.client)


@config.command()
@click.argument("key", default="")
@click.option("--limit", "-n", type=Number(1), default=20, help="How many revisions, the newest first.")
@output_option("table")
@pass_session
def history(session: Session, key: str, limit: int, output: str) -> None:
    """Show who changed what under KEY, and when.

    A revision that changed several values has a line for each. Get the values as they were with `get --as-of`.
    """
    from micro import config

    documents, lines = [], ["\t".join(HEADER)]
    for revision in config.history(key, limit=limit, client=session.client):
        time = revision.at.strftime("%Y-%m-%dT%H:%M:%SZ")
        changes = [{"path": each.path, "before": each.before, "after": each.after} for each in revision.changes]
        documents.append({"revision": revision.number, "at": time, "by": revision.by, "changes": changes})
        for change in revision.changes:
            told = f"{_shown(change.before)} -> {_shown(change.after)}"
            lines.append("\t".join((str(revision.number), time, revision.by, change.path, told)))
    show(documents, lines, output)


@config.command()
@click.argument("key", default="")
@_SECRET
@pass_session
def watch(session: Session, key: str, secret: bool) -> None:
    """Print the value under KEY as JSON, now and after every change, until Ctrl-C."""
    from micro import config

    with config.watch(key, is_secret=secret, client=session.client) as changes:
        for change in changes:
            click.echo(json.dumps(change.value, ensure_ascii=False))


def _as_of(text: str, *, at: datetime) -> int | datetime:
    """A revision, a time, or so long before `at`."""
    if text.isdecimal() and len(text) < MAX_DIGITS:
        return int(text)
    parts = DURATION.findall(text)
    try:
        if parts and "".join(number + unit for number, unit in parts) == text:
            return at - timedelta(seconds=sum(float(number) * SECONDS[unit] for number, unit in parts))
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Failure(f"--as-of is invalid: {text}. Try 12, 10m or 2026-01-31T12:00:00Z") from None


def _as_json(value: str) -> str:
    try:
        json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return json.dumps(value, ensure_ascii=False)
    return value


def _refuse(constant: str) -> None:
    """Python reads NaN and Infinity, which are not JSON."""
    raise ValueError(constant)


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
