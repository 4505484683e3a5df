"""`micro login`, `logout` and `user`: who you are."""

from __future__ import annotations

import sys

import click

from .commands import Command, Group
from .failures import Failure, capitalised
from .session import Session, pass_session


@click.command(cls=Command)
@click.option("--username", "--email", help="The account's id or name; asked for when it is not given.")
@click.option("--password", help="Its password; asked for, without showing it, when it is not given.")
@pass_session
def login(session: Session, username: str | None, password: str | None) -> None:
    """Log in to a server.

    A local server has the account admin with the password micro. The login is kept in ~/.micro/tokens and renewed by
    itself. Without a terminal, what is asked for is read from standard input, one line each.
    """
    from micro import auth, errors, identity, tokens
    from micro.wire import Unreachable

    username = username or ask("Enter username: ")
    password = password or ask("Enter password: ", is_secret=True)
    tokens.remove(session.target)
    try:
        token = auth.token(id=username, secret=password, client=session.client)
        identity.keep(session.target, token, session.client)
    except Unreachable:
        raise
    except errors.Error as error:
        raise Failure(capitalised(error.detail)) from None
    click.echo("Successfully logged in.")


@click.command(cls=Command)
@pass_session
def logout(session: Session) -> None:
    """Log out of a server."""
    from micro import tokens

    tokens.remove(session.target)


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def user(ctx: click.Context) -> None:
    """Show who is logged in, and their settings.

    Without a subcommand: the account's name.
    """
    if ctx.invoked_subcommand is None:
        from micro import auth

        session = ctx.ensure_object(Session)
        click.echo(auth.inspect(_access_token(session), client=session.client).name)


@user.command()
@pass_session
def token(session: Session) -> None:
    """Print an access token."""
    click.echo(_access_token(session))


@user.group("namespace", cls=Group, invoke_without_command=True)
@click.pass_context
def namespace(ctx: click.Context) -> None:
    """Show and choose the namespace to work in.

    Without a subcommand: its name.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.ensure_object(Session).target.namespace)


@namespace.command("set")
@click.argument("name")
@pass_session
def set_namespace(session: Session, name: str) -> None:
    """Work in this namespace from now on."""
    environment = session.target.environment
    known = [other for other in session.config.get(f"namespaces.{environment}.all").split(",") if other]
    if name not in ("micro", *known):
        session.config.set(f"namespaces.{environment}.all", ",".join([*known, name]))
    session.config.set(f"namespaces.{environment}.current", name)


@user.group("config", cls=Group, invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Show and change settings.

    Keys that mean something: git.credentials.github, .gitlab and .bitbucket (tokens for private repositories), or
    git.credentials.url with git.credentials.token for another host; git.baseurl (where `micro run NAME` looks).
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.ensure_object(Session)
    known = session.config
    has_credentials = any(known.get(f"git.credentials.{host}") for host in ("github", "gitlab", "bitbucket", "token"))
    environment = session.target.environment
    click.echo(f"user: {known.get(f'{environment}.current-user') or 'n/a'}")
    click.echo(f"namespace: {session.target.namespace or 'n/a'}")
    click.echo(f"environment: {environment}")
    click.echo(f"git.credentials: {'[hidden]' if has_credentials else 'n/a'}")
    click.echo(f"git.baseurl: {known.get(f'git.{environment}.baseurl') or known.get('git.baseurl') or 'n/a'}")


@config.command("get")
@click.argument("key")
@pass_session
def get_config(session: Session, key: str) -> None:
    """Print the value under KEY."""
    click.echo(session.config.get(key))


@config.command("set")
@click.argument("key")
@click.argument("value")
@pass_session
def set_config(session: Session, key: str, value: str) -> None:
    """Keep VALUE under KEY."""
    session.config.set(_not_blank(key), value)


@config.command("delete")
@click.argument("key")
@pass_session
def delete_config(session: Session, key: str) -> None:
    """Forget the value under KEY."""
    session.config.set(_not_blank(key), "")


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
    new = new or _twice()
    try:
        auth.change_secret(id or mine, old=old, new=new, client=session.client)
    except (errors.InvalidArgument, errors.Unauthenticated) as error:
        raise Failure(capitalised(error.detail)) from None
    if id in ("", mine):
        token = auth.token(id=mine, secret=new, client=session.client)
        identity.keep(session.target, token, session.client)


def _twice() -> str:
    new = ask("Enter a new password: ", is_secret=True)
    if ask("Verify your password: ", is_secret=True) != new:
        raise Failure("Passwords do not match. Please try again.")
    return new


def _not_blank(key: str) -> str:
    if not key:
        raise Failure("Key cannot be blank")
    return key


def _access_token(session: Session) -> str:
    from micro import identity

    token = identity.of_this_process(session.target).access_token(session.client)
    if not token:
        raise Failure("You are not logged in")
    return token


def ask(prompt: str, *, is_secret: bool = False) -> str:
    """An answer from the terminal, or the next line of standard input when that is not one."""
    if sys.stdin.isatty() and is_secret:
        import getpass

        return getpass.getpass(prompt, stream=sys.stderr)
    click.echo(prompt, nl=False, err=True)
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        click.echo(err=True)
    if not line:
        raise Failure(f"{prompt.rstrip(': ')}: there was no answer on standard input.")
    return line.rstrip("\r\n")
