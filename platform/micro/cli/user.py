"""`micro user`: who is logged in, and their settings."""

from __future__ import annotations

import click

from .asking import ask, ask_new_password
from .commands import Group
from .failures import Failure, as_mistakes, capitalised
from .output import moment, output_option, show
from .session import Session, pass_session

GIT_HOSTS = ("github", "gitlab", "bitbucket", "token")


@click.group(cls=Group, invoke_without_command=True)
@output_option()
@click.pass_context
def user(ctx: click.Context, output: str) -> None:
    """Show who is logged in, and their settings.

    Without a subcommand: the account's name.
    """
    if ctx.invoked_subcommand is None:
        from micro import auth

        session = ctx.ensure_object(Session)
        account = auth.inspect(_access_token(session), client=session.client)
        document = {"id": account.id, "name": account.name, "type": account.type, "namespace": account.issuer}
        show(document | {"scopes": list(account.scopes)}, [account.name], output)


@user.command()
@output_option()
@pass_session
def token(session: Session, output: str) -> None:
    """Print an access token, which is good for some minutes."""
    from micro import tokens

    text = _access_token(session)
    saved = tokens.read(session.target)
    expiry = saved.expiry if saved and saved.access_token == text else 0
    show({"access_token": text, "expires_at": moment(expiry)}, [text], output)


@user.group("namespace", cls=Group, invoke_without_command=True)
@output_option()
@click.pass_context
def namespace(ctx: click.Context, output: str) -> None:
    """Show and choose the namespace to work in.

    Without a subcommand: its name. Each environment has its own.
    """
    if ctx.invoked_subcommand is None:
        session = ctx.ensure_object(Session)
        name = session.namespace_name
        show({"name": name, "environment": session.environment_name}, [name], output)


@namespace.command("set")
@click.argument("name", default="")
@pass_session
def set_namespace(session: Session, name: str) -> None:
    """Work in this namespace from now on."""
    if not name:
        raise Failure("No namespace specified")
    session.choose_namespace(name)


@namespace.command("list")
@output_option("table")
@pass_session
def list_namespaces(session: Session, output: str) -> None:
    """List the namespaces that you can work in; the current one is marked with a star."""
    from .namespaces import show_namespaces

    show_namespaces(session, output)


@user.group("config", cls=Group, invoke_without_command=True)
@output_option()
@click.pass_context
def config(ctx: click.Context, output: str) -> None:
    """Show and change settings.

    Keys that mean something: git.credentials.github, .gitlab and .bitbucket (tokens for private repositories), or
    git.credentials.url with git.credentials.token for another host; git.baseurl (where `micro run NAME` looks for what
    is no folder; unless it is set, nowhere). These are kept for the current environment alone. logins (file, or keyring
    for the desktop's, which needs `pip install 'micro[keyring]'`) says where logins are kept.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.ensure_object(Session)
    has_credentials = any(session.git_setting(f"credentials.{host}") for host in GIT_HOSTS)
    facts = {
        "user": session.account_id or None,
        "namespace": session.namespace_name,
        "environment": session.environment_name,
        "git.credentials": "[hidden]" if has_credentials else None,
        "git.baseurl": session.git_setting("baseurl") or None,
    }
    show(facts, [f"{name}: {value or 'n/a'}" for name, value in facts.items()], output)


@config.command("get")
@click.argument("key")
@output_option()
@pass_session
def get_config(session: Session, key: str, output: str) -> None:
    """Print the value under KEY."""
    value = session.git_setting(key.removeprefix("git.")) if _is_git(key) else session.config.get(key)
    show({"key": key, "value": value or None}, [value], output)


@config.command("set")
@click.argument("key")
@click.argument("value")
@pass_session
def set_config(session: Session, key: str, value: str) -> None:
    """Keep VALUE under KEY."""
    session.config.set(_own_key(session, key), value)


@config.command("delete")
@click.argument("key", default="")
@pass_session
def delete_config(session: Session, key: str) -> None:
    """Forget the value under KEY."""
    for each in dict.fromkeys((_own_key(session, key), key)):
        if session.config.get(each):
            session.config.set(each, "")


@user.group("set", cls=Group)
def set_() -> None:
    """Change what the server knows of you."""


@set_.command("password")
@click.option("--email", "--username", "id", default="", help="Whose; yours when it is not given.")
@click.option("--old-password", "--old_password", "old", help="The password until now; asked for when not given.")
@click.option("--new-password", "--new_password", "new", help="The new one; asked for, twice, when not given.")
@pass_session
def set_password(session: Session, id: str, old: str | None, new: str | None) -> None:
    """Set a new password.

    Every other login with the old one ends.
    """
    from micro import auth, errors, identity

    mine = auth.inspect(_access_token(session), client=session.client).id
    old = old or ask("Enter current password: ", is_secret=True)
    new = new or ask_new_password()
    with as_mistakes():
        try:
            auth.change_secret(id or mine, old=old, new=new, client=session.client)
        except errors.Unauthenticated as error:
            raise Failure(capitalised(error.detail)) from None
    if id in ("", mine):
        token = auth.token(id=mine, secret=new, client=session.client)
        identity.keep(session.target, token, session.client)


def _is_git(key: str) -> bool:
    return key.startswith("git.credentials.") or key == "git.baseurl"


def _own_key(session: Session, key: str) -> str:
    """Where the value is kept: what is meant for git, for this environment alone. Raises Failure for a blank key."""
    if not key:
        raise Failure("Key cannot be blank")
    if any(not part for part in key.split(".")):
        raise Failure(f"Invalid key: {key}. Expected format: name.name")
    return session.git_key(key.removeprefix("git.")) if _is_git(key) else key


def _access_token(session: Session) -> str:
    from micro import identity

    token = identity.of_this_process(session.target).access_token(session.client)
    if not token:
        raise Failure("You are not logged in")
    return token
