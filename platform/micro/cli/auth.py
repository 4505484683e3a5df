"""`micro auth`: accounts and access rules of a namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .commands import Group
from .failures import Failure, as_mistakes
from .numbers import INT32_MAX, Number
from .output import moment, output_option, show
from .session import Session, pass_session
from .tables import tabbed

if TYPE_CHECKING:
    from micro.client import Client

COMPACT = (",", ":")
MAX_LIFE_S = 86400  # of a token; the platform makes none that is good for longer


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
def delete() -> None:
    """Remove a rule or an account."""


@list_.command("rules")
@output_option("table")
@pass_session
def list_rules(session: Session, output: str) -> None:
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
    documents = [
        {
            "id": rule.id,
            "scope": rule.scope,
            "access": "granted" if rule.granted else "denied",
            **{name: getattr(rule, name) for name in ("type", "name", "endpoint", "priority")},
        }
        for rule in found
    ]
    show(documents, tabbed([("ID", "Scope", "Access", "Resource", "Priority"), *rows]), output)


@list_.command("accounts")
@output_option("table")
@pass_session
def list_accounts(session: Session, output: str) -> None:
    """List the accounts of the namespace."""
    from micro import auth as sdk

    with as_mistakes("Error listing accounts: "):
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
    documents = [
        {
            **{name: getattr(account, name) for name in ("id", "name", "type")},
            "namespace": account.issuer,
            "scopes": list(account.scopes),
            "metadata": dict(account.metadata),
        }
        for account in found
    ]
    show(documents, tabbed([("ID", "Name", "Scopes", "Metadata"), *rows]), output)


@create.command("rule")
@click.option("--scope", default="", help="Whom it is about: a scope, * for every account, + of any namespace, or all.")
@click.option("--resource", default="*:*:*", help="What it is about, as type:name:endpoint; * is anything.")
@click.option("--access", default="granted", help="granted or denied.")
@click.option(
    "--priority",
    type=Number(-INT32_MAX, INT32_MAX),
    default=0,
    help="Rules with a higher one are looked at first.",
)
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
    with as_mistakes("Error: "):
        sdk.create_rule(rule, client=session.client)
    click.echo("Rule created")


@create.command("account")
@click.option("--secret", default="", help="Its secret; made for it when not given.")
@click.option("--scopes", multiple=True, help="A scope of its; may be given several times.")
@click.option("--type", "type_", default="", help="user or service.")
@click.option("--namespace", default="", help="Another namespace; an admin of micro makes it when there is none.")
@output_option()
@click.argument("id", nargs=-1)
@pass_session
def create_account(
    session: Session, secret: str, scopes: tuple[str, ...], type_: str, namespace: str, output: str, id: tuple[str, ...]
) -> None:
    """Make an account, and print it with its secret.

    The secret is shown this once.
    """
    from micro import auth as sdk

    if len(id) != 1:
        raise Failure("Too many arguments, expected one argument: ID" if id else "Missing argument: ID")
    client = session.client.within(namespace) if namespace else session.client
    with as_mistakes("Error creating account: "):
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
    show(shown, [f"Account created: {json.dumps(shown, ensure_ascii=False, separators=COMPACT)}"], output)


@create.command("token")
@click.option("--id", "id", default="", help="The account's id or name.")
@click.option("--secret", default="", help="Its secret; asked for, without showing it, when it is not given.")
@click.option("--expiry", default="10m", help="How long it is good: seconds, or e.g. 10m or 12h; at most a day (10m).")
@click.option("--namespace", default="", help="The account's namespace, when it is not the current one.")
@output_option()
@pass_session
def create_token(session: Session, id: str, secret: str, expiry: str, namespace: str, output: str) -> None:
    """Print a token for an account of the namespace.

    It is for other programs: they send its access_token as `Authorization: Bearer ...`; the refresh_token brings the
    next one. Your own login stays as it is.
    """
    from micro import auth as sdk

    from .asking import ask

    if not id:
        raise Failure("Missing account ID")
    life = _life_s(expiry)
    secret = secret or ask("Enter its secret: ", is_secret=True)
    with _trying_a_secret("Error creating token: "):
        made = sdk.token(id=id, secret=secret, expiry_s=life, client=_within(session, namespace))
    document = {"access_token": made.access_token, "refresh_token": made.refresh_token}
    created, expires = moment(made.created), moment(made.expiry)
    shown = json.dumps(document | {"created": created, "expiry": expires}, separators=COMPACT)
    lines, times = [f"Token created: {shown}"], {"created_at": created, "expires_at": expires}
    show(document | times, lines, output)


def _life_s(text: str) -> int:
    from .services import seconds

    life = float(text) if text.isdecimal() else seconds(text, flag="expiry", example="600 or 10m")
    return int(min(life, MAX_LIFE_S))


@auth.group(cls=Group)
def update() -> None:
    """Change the secret of an account."""


@update.command("secret")
@click.option("--old_secret", "--old-secret", "old", default="", help="The one until now; admins may do without.")
@click.option("--new_secret", "--new-secret", "new", default="", help="The new one; asked for, twice, when not given.")
@click.option("--namespace", default="", help="The account's namespace, when it is not the current one.")
@click.argument("id", nargs=-1)
@pass_session
def update_secret(session: Session, old: str, new: str, namespace: str, id: tuple[str, ...]) -> None:
    """Give an account another secret; its logins end."""
    from micro import auth as sdk

    from .asking import ask_new_password

    account, secret, client = _one(id), new or ask_new_password(), _within(session, namespace)
    is_tried = old and client.access_token()
    with _trying_a_secret("Error updating accounts: ") if is_tried else as_mistakes("Error updating accounts: "):
        sdk.change_secret(account, old=old, new=secret, client=client)
    click.echo("Account updated")


@delete.command("rule")
@click.argument("id", nargs=-1)
@pass_session
def delete_rule(session: Session, id: tuple[str, ...]) -> None:
    """Take a rule away."""
    from micro import auth as sdk

    with as_mistakes("Error: "):
        sdk.delete_rule(_one(id, missing="Expected one argument: ID"), client=session.client)
    click.echo("Rule deleted")


@delete.command("account")
@click.argument("id", nargs=-1)
@pass_session
def delete_account(session: Session, id: tuple[str, ...]) -> None:
    """Remove an account, by its id or name."""
    from micro import auth as sdk

    with as_mistakes("Error deleting account: "):
        sdk.delete(_one(id), client=session.client)


def _one(id: tuple[str, ...], *, missing: str = "Missing argument: ID") -> str:
    if len(id) != 1:
        raise Failure("Expected one argument: ID" if id else missing)
    return id[0]


def _within(session: Session, namespace: str) -> Client:
    return session.client.within(namespace) if namespace else session.client


@contextmanager
def _trying_a_secret(prefix: str) -> Iterator[None]:
    """Like `as_mistakes`; a login that is refused is the tried one, not the user's own."""
    from micro import errors

    with as_mistakes(prefix):
        try:
            yield
        except errors.Unauthenticated as error:
            raise Failure(f"{prefix}{error.detail}") from None
