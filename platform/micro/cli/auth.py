"""`micro auth`: accounts and access rules of a namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import click

from .commands import Group
from .failures import Failure
from .session import Session, pass_session
from .tables import tabbed


@click.group(cls=Group)
def auth() -> None:
    """Manage accounts and access rules.

    A rule says who may call what: the first that fits, by priority, decides. Without rules everybody may call
    everything.
    """


@auth.group("list", cls=Group)
def list_() -> None:
    """List rules or accounts."""


@auth.group(cls=Group)
def create() -> None:
    """Make a rule, an account or a token."""


@auth.group(cls=Group)
def update() -> None:
    """Change the secret of an account."""


@auth.group(cls=Group)
def delete() -> None:
    """Remove a rule or an account."""


@list_.command("rules")
@pass_session
def list_rules(session: Session) -> None:
    """List the rules of the namespace."""
    from micro import auth as sdk

    found = sdk.rules(client=session.client)
    rows = [
        (
            rule.id,
            rule.scope or "<public>",
            "GRANTED" if rule.granted else "DENIED",
            f"{rule.type}:{rule.name}:{rule.endpoint}",
            str(rule.priority),
        )
        for rule in sorted(found, key=lambda one: (f"{one.type}:{one.name}:{one.endpoint}", one.priority), reverse=True)
    ]
    for line in tabbed([("ID", "Scope", "Access", "Resource", "Priority"), *rows]):
        click.echo(line)


@list_.command("accounts")
@pass_session
def list_accounts(session: Session) -> None:
    """List the accounts of the namespace."""
    from micro import auth as sdk

    with _saying("Error listing accounts: "):
        found = sdk.accounts(client=session.client)
    rows = [
        (
            account.id,
            account.name,
            ", ".join(account.scopes) or "n/a",
            " ".join(f"{key}={value}" for key, value in sorted(account.metadata.items())) or "n/a",
        )
        for account in found
    ]
    for line in tabbed([("ID", "Name", "Scopes", "Metadata"), *rows]):
        click.echo(line)


@create.command("rule")
@click.option("--scope", default="", help="Whom it is about: a scope, * for every account, + of any namespace, or all.")
@click.option("--resource", default="*:*:*", help="What it is about, as type:name:endpoint; * is anything.")
@click.option("--access", default="granted", help="granted or denied.")
@click.option("--priority", type=int, default=0, help="Rules with a higher one are looked at first.")
@click.argument("id", nargs=-1)
@pass_session
def create_rule(session: Session, scope: str, resource: str, access: str, priority: int, id: tuple[str, ...]) -> None:
    """Make a rule that acts within a second.

    micro auth create rule --scope=staff --resource=service:shop:/admin/* --priority=2 staff-only

    An endpoint is Handler.Method, a path, or /prefix/* for all below a path.
    """
    from micro import auth as sdk

    if len(id) != 1:
        raise Failure("Too many arguments, expected one argument: ID" if id else "Missing argument: ID")
    if access not in ("granted", "denied"):
        raise Failure(f"Invalid access: {access}, must be granted or denied")
    parts = resource.split(":")
    if len(parts) != 3:
        raise Failure("Invalid resource, must be in the format type:name:endpoint")
    type, name, endpoint = parts
    rule = sdk.Rule(
        id=id[0],
        scope=scope,
        type=type,
        name=name,
        endpoint=endpoint,
        granted=access == "granted",
        priority=priority,
    )
    with _saying("Error: "):
        sdk.create_rule(rule, client=session.client)
    click.echo("Rule created")


@create.command("account")
@click.option("--secret", default="", help="Its secret; made for it when not given.")
@click.option("--scopes", multiple=True, help="A scope of its; may be given several times.")
@click.option("--type", "type_", default="", help="user or service.")
@click.option("--namespace", default="", help="Another namespace; an admin of micro makes it when there is none.")
@click.argument("id", nargs=-1)
@pass_session
def create_account(
    session: Session, secret: str, scopes: tuple[str, ...], type_: str, namespace: str, id: tuple[str, ...]
) -> None:
    """Make an account, and print it with its secret.

    The secret is shown this once.
    """
    from micro import auth as sdk

    if len(id) != 1:
        raise Failure("Too many arguments, expected one argument: ID" if id else "Missing argument: ID")
    client = session.client.within(namespace) if namespace else session.client
    with _saying("Error creating account: "):
        made, plain = sdk.generate(id[0], secret=secret, scopes=scopes, type=type_, client=client)
    shown = {
        "id": made.id,
        "type": made.type,
        "issuer": made.issuer,
        "metadata": dict(made.metadata),
        "scopes": list(made.scopes),
        "secret": plain,
        "name": made.name,
    }
    click.echo(f"Account created: {json.dumps(shown, ensure_ascii=False)}")


@create.command("token")
@click.option("--id", "id_", default="", help="The account's id or name.")
@click.option("--secret", default="", help="Its secret.")
@click.option("--expiry", type=int, default=600, help="For how many seconds the token is good.", show_default=True)
@click.option("--namespace", default="", help="The account's namespace, when it is not the current one.")
@pass_session
def create_token(session: Session, id_: str, secret: str, expiry: int, namespace: str) -> None:
    """Exchange an account's secret for a token, and print it.

    micro auth create token --id=bot --secret=...

    Send the access token as `Authorization: Bearer`; the refresh token brings the next one.
    """
    from micro import auth as sdk

    if not id_ or not secret:
        raise Failure("Missing account secret" if id_ else "Missing account ID")
    client = session.client.within(namespace) if namespace else session.client
    with _saying("Error creating token: ", of_a_login=True):
        made = sdk.token(id=id_, secret=secret, expiry_s=expiry, client=client)
    shown = {
        "access_token": made.access_token,
        "refresh_token": made.refresh_token,
        "created": made.created,
        "expiry": made.expiry,
    }
    click.echo(f"Token created: {json.dumps(shown)}")


@update.command("secret")
@click.option("--old-secret", "--old_secret", default="", help="The present one; admins may do without.")
@click.option("--new-secret", "--new_secret", default="", help="The one from now on.")
@click.option("--namespace", default="", help="The account's namespace, when it is not the current one.")
@click.argument("id", nargs=-1)
@pass_session
def update_secret(session: Session, old_secret: str, new_secret: str, namespace: str, id: tuple[str, ...]) -> None:
    """Give an account another secret.

    Its refresh tokens end.
    """
    from micro import auth as sdk

    if len(id) != 1:
        raise Failure("Too many arguments, expected one argument: ID" if id else "Missing argument: ID")
    client = session.client.within(namespace) if namespace else session.client
    with _saying("Error updating accounts: "):
        sdk.change_secret(id[0], new=new_secret, old=old_secret, client=client)
    click.echo("Account updated")


@delete.command("rule")
@click.argument("id", nargs=-1)
@pass_session
def delete_rule(session: Session, id: tuple[str, ...]) -> None:
    """Take a rule away."""
    from micro import auth as sdk

    with _saying("Error: "):
        sdk.delete_rule(_one(id), client=session.client)
    click.echo("Rule deleted")


@delete.command("account")
@click.argument("id", nargs=-1)
@pass_session
def delete_account(session: Session, id: tuple[str, ...]) -> None:
    """Remove an account, by its id or name."""
    from micro import auth as sdk

    with _saying("Error deleting account: "):
        sdk.delete(_one(id), client=session.client)


def _one(id: tuple[str, ...]) -> str:
    if len(id) != 1:
        raise Failure("Expected one argument: ID")
    return id[0]


@contextmanager
def _saying(prefix: str, *, of_a_login: bool = False) -> Iterator[None]:
    """What the server refuses is told after `prefix`; where it cannot be reached, the ordinary sentence is.

    So it is where one is not logged in, unless a wrong secret was what was tried.
    """
    from micro import errors

    try:
        yield
    except errors.Unavailable:
        raise
    except errors.Error as error:
        if isinstance(error, errors.Unauthenticated) and not of_a_login:
            raise
        raise Failure(f"{prefix}{error.detail}") from None
