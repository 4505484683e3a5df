"""`micro deployments`, `deployment` and `redeploy`: what was deployed, how that went, and doing it again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from .commands import Command
from .failures import Failure, as_mistakes
from .output import moment, output_option, show, show_table
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.proto.runtime_pb2 import Deployment

HEADER = ("ID", "NAME", "VERSION", "STATE", "RELEASE", "BY", "CREATED", "REASON")
SHORT = 8  # characters of an id that tell a few deployments apart
IDENTIFIER = re.compile(r"[0-9a-f]{4,8}(?:-[0-9a-f-]*)?")
MOST_ROWS = 100
REPLACED = "replaced"
UNDER_WAY = ("queued", "fetching", "detecting", "building", "starting", "switching")
STATES = (*UNDER_WAY, "live", REPLACED, "failed", "superseded", "cancelled")


@click.command(cls=Command)
@click.argument("name", default="")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state, e.g. live or failed.")
@click.option("--limit", "-n", type=click.IntRange(1, MOST_ROWS), default=20, help="How many, the newest first (20).")
@output_option("table")
@pass_session
def deployments(session: Session, name: str, state: str | None, limit: int, output: str) -> None:
    """List what was deployed, the newest first: of a service, or of all.

    STATE is one of queued, fetching, detecting, building, starting, switching, live, replaced, failed, superseded and
    cancelled. The one that serves is live; those that served before are replaced, and in JSON still live, with
    is_replaced. What was superseded by a later one never served. See one whole with `micro deployment ID`, deploy one
    anew with `micro redeploy ID`; its first characters do for an ID.
    """
    from micro import runtime

    with as_mistakes():
        found = runtime.deployments(name, **_in_state(state or ""), limit=limit, client=session.client)
    rows = [
        (
            each.id[:SHORT],
            each.service,
            each.version,
            _outcome(each),
            _release(each),
            each.by,
            moment(each.created) or "",
            each.reason,
        )
        for each in found
    ]
    show_table([_document(each) for each in found], HEADER, rows, output)
    if name and not found:
        click.echo(f"No such deployment of {name} in the namespace {session.namespace_name}.", err=True)


@click.command(cls=Command)
@click.argument("id")
@output_option()
@pass_session
def deployment(session: Session, id: str, output: str) -> None:
    """Show a deployment: how far it is, or how it ended and why."""
    from micro import runtime

    with as_mistakes():
        found = runtime.deployment(_whole_id(session, id), client=session.client)
    document = _document(found)
    told = {**document, "state": _outcome(found), "is_replaced": None}
    lines = [f"{key}: {', '.join(value) if isinstance(value, list) else value}" for key, value in told.items() if value]
    show(document, lines, output)


@click.command(cls=Command)
@click.argument("what", metavar="NAME[@VERSION]|ID")
@click.option("--detach", "-d", is_flag=True, help="Do not wait until it runs.")
@output_option(meaning="the service, once it runs")
@pass_session
def redeploy(session: Session, what: str, detach: bool, output: str) -> None:
    """Deploy anew what a deployment deployed.

    A service's last one is meant by its name, any other by its ID.

    Its source, command, variables and instances are those of then; a branch is fetched as it is now.
    """
    from micro import errors, runtime

    from . import deployment as watched
    from .source import named

    name, version = named(what)
    with as_mistakes():
        try:
            made = runtime.redeploy(service=name, version=version, client=session.client)
        except (errors.NotFound, errors.InvalidArgument):
            if not IDENTIFIER.fullmatch(what):
                raise
            made = runtime.redeploy(id=_whole_id(session, what), client=session.client)
    if not detach:
        watched.follow(session, made.service, made.version, output=output)
        return
    watched.tell_accepted(made.service, made.version)
    show(_document(made), (), output)


def _whole_id(session: Session, id: str) -> str:
    """The id that begins so. Raises Failure when there is none, or more than one, among the last ones."""
    from micro import runtime

    if len(id) == len("00000000-0000-0000-0000-000000000000"):
        return id
    known = [each.id for each in runtime.deployments(limit=MOST_ROWS, client=session.client)]
    found = [each for each in known if each.startswith(id)]
    if len(found) != 1:
        raise Failure(f"{'No' if not found else 'More than one'} deployment begins with {id}.", 127)
    return found[0]


def _in_state(word: str) -> dict[str, Any]:
    """What to ask for: a deployment that another one has replaced is still in the state `live`."""
    if word in ("live", REPLACED):
        return {"state": "live", "is_replaced": word == REPLACED}
    return {"state": word}


def _outcome(deployment: Deployment) -> str:
    return REPLACED if deployment.is_replaced else deployment.state


def _release(deployment: Deployment) -> str:
    return str(deployment.release) if deployment.release else ""


def _document(deployment: Deployment) -> dict[str, Any]:
    same = ("id", "service", "version", "state", "source")
    return {
        **{name: getattr(deployment, name) for name in same},
        "is_replaced": deployment.is_replaced,
        "reason": deployment.reason or None,
        "digest": deployment.digest or None,
        "release": deployment.release or None,
        "instances": deployment.instances,
        "env_names": list(deployment.env_names),
        "by": deployment.by,
        "address": deployment.address or None,
        "created_at": moment(deployment.created),
        "finished_at": moment(deployment.finished),
    }
