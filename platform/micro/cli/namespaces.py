"""`micro namespaces`: the namespaces that one can work in."""

from __future__ import annotations

import click

from .commands import Group
from .failures import as_mistakes
from .output import moment, output_option, show, show_table
from .session import Session, pass_session

HEADER = ("", "NAME", "ROLE", "ENVIRONMENT", "PLAN", "CREATED")


@click.group(cls=Group, invoke_without_command=True)
@output_option("table")
@click.pass_context
def namespaces(ctx: click.Context, output: str) -> None:
    """List and make namespaces.

    Without a subcommand: those that you are a member of, the current one marked with a star; for admins of the
    platform all. Choose one with `micro user namespace set NAME`.
    """
    if ctx.invoked_subcommand is None:
        show_namespaces(ctx.ensure_object(Session), output)


@namespaces.command()
@click.argument("name")
@output_option()
@pass_session
def create(session: Session, name: str, output: str) -> None:
    """Make a namespace, as admins of the platform may.

    Its first account is made with `micro auth create account --namespace NAME --scopes admin ID`.
    """
    from micro import auth

    with as_mistakes():
        made = auth.create_namespace(name, client=session.client)
    show(
        {"name": made.name, "environment": made.environment, "plan": made.plan}, [f"Namespace created: {name}"], output
    )
    click.echo(f"Make its first account: micro auth create account --namespace {name} --scopes admin ID", err=True)


def show_namespaces(session: Session, output: str) -> None:
    """Print the namespaces that the server knows the user in."""
    from micro import auth

    current = session.namespace_name
    found = auth.namespaces(client=session.client)
    documents = [
        {
            "name": each.name,
            "role": each.role or None,
            "environment": each.environment,
            "plan": each.plan,
            "created_at": moment(each.created),
            "is_current": each.name == current,
        }
        for each in found
    ]
    rows = [
        (
            "*" if each.name == current else "",
            each.name,
            each.role or "n/a",
            each.environment,
            each.plan,
            moment(each.created) or "",
        )
        for each in found
    ]
    show_table(documents, HEADER, rows, output)
