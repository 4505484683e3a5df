"""`micro tokens`: API tokens, by which programs act for somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .commands import Group
from .failures import Failure, as_mistakes
from .numbers import INT32_MAX, Number
from .output import moment, output_option, show, show_table
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.proto.auth_pb2 import ApiToken

HEADER = ("NAME", "TOKEN", "ROLE", "OWNER", "CREATED", "EXPIRES", "LAST USED")


@click.group(cls=Group, invoke_without_command=True)
@output_option("table")
@click.pass_context
def tokens(ctx: click.Context, output: str) -> None:
    """List, make and revoke API tokens, by which programs use the REST API.

    Without a subcommand: your own in the current namespace; for its admins those of all members.
    """
    if ctx.invoked_subcommand is None:
        found = _known(ctx.ensure_object(Session))
        rows = [
            (
                each.name,
                f"{each.hint}…",
                each.role,
                each.owner,
                moment(each.created) or "",
                moment(each.expires) or "never",
                moment(each.last_used) or "never",
            )
            for each in found
        ]
        show_table([_document(each) for each in found], HEADER, rows, output)


@tokens.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["reader", "member", "admin"]), default="member", help="What it may do.")
@click.option(
    "--days", type=Number(0, INT32_MAX), default=90, help="Good for so many days (90); 0: until it is revoked."
)
@output_option()
@pass_session
def create(session: Session, name: str, role: str, days: int, output: str) -> None:
    """Make an API token and print it, this once.

    A reader sees, a member also deploys and deletes, an admin does all that you may.
    """
    from micro import auth

    with as_mistakes():
        made, text = auth.create_api_token(name, role=role, expires_in_days=days, client=session.client)
    show(_document(made) | {"token": text}, [text], output)


@tokens.command()
@click.argument("name", metavar="NAME|ID")
@pass_session
def revoke(session: Session, name: str) -> None:
    """Make an API token useless from now on."""
    from micro import auth

    found = [each for each in _known(session) if name in (each.name, each.id)]
    if len(found) != 1:
        problem = f"There is no API token {name}." if not found else f"Several have the name {name}: say the id."
        raise Failure(problem, 127)
    with as_mistakes():
        auth.revoke_api_token(found[0].id, client=session.client)


def _known(session: Session) -> list[ApiToken]:
    from micro import auth

    with as_mistakes():
        return auth.api_tokens(client=session.client)


def _document(token: ApiToken) -> dict[str, Any]:
    return {
        **{name: getattr(token, name) for name in ("id", "name", "hint", "role", "owner")},
        "created_at": moment(token.created),
        "expires_at": moment(token.expires),
        "last_used_at": moment(token.last_used),
    }
