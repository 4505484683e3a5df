"""`micro signup`, `login` and `logout`: becoming somebody, and nobody again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .asking import ask, is_interactive, open_page
from .commands import Command
from .failures import Failure, as_mistakes, capitalised
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.tokens import Token


@click.command(cls=Command)
@click.option("--username", "--email", help="The account's id or name; asked for when it is not given.")
@click.option("--password", help="Its password; asked for, without showing it, when it is not given.")
@click.option("--browser", is_flag=True, help="Log in on the server's web page instead, which also may be elsewhere.")
@click.option("--otp", is_flag=True, hidden=True, help="Micro's: sign up.")
@pass_session
def login(session: Session, username: str | None, password: str | None, browser: bool, otp: bool) -> None:
    """Log in to a server.

    A local server has the account admin with the password micro. The login is kept in ~/.micro/tokens and renewed by
    itself. Without a terminal, what is asked for is read from standard input, one line each.

    With --browser, or without a username on a terminal, a code is shown that you confirm on the server's web page.
    """
    if otp:
        from .joining import sign_up

        return sign_up(session, email=username, password=password, namespace=None)
    if not username and not browser and is_interactive():
        click.echo("Without a username you log in with your browser.", err=True)
    username = username or (None if browser else ask("Enter username: "))
    if not username and (browser or is_interactive()):
        return _log_in_by_browser(session)
    _log_in_by_password(session, username or "", password or ask("Enter password: ", is_secret=True))


def _log_in_by_password(session: Session, username: str, password: str) -> None:
    from micro import auth, errors, identity

    with as_mistakes():
        try:
            token = auth.token(id=username, secret=password, client=session.client)
        except (errors.InvalidArgument, errors.Unauthenticated) as error:
            raise Failure(_refused(session, username, capitalised(error.detail))) from None
        identity.keep(session.target, token, session.client)
    click.echo("Successfully logged in.")


def _refused(session: Session, username: str, text: str) -> str:
    """Micro's words, and what they mean of whom and where."""
    where = f"in the namespace {session.namespace_name} of {session.target.address}"
    meaning = {
        "Secret not correct": f"it is not the password of {username} {where}",
        "Account not found with this ID": f"there is no {username} {where}; "
        "`micro user namespace set NAME` chooses another one",
        "Credentials or a refresh token required": "a user name and a password have to be given, neither of them blank",
    }.get(text)
    return f"{text}: {meaning}." if meaning else text


def _log_in_by_browser(session: Session) -> None:
    from micro import devices

    with as_mistakes():
        started = devices.start(_program(), client=session.client)
        click.echo(f"Open {started.verification_uri_complete}\nand confirm the code {started.user_code}", err=True)
        open_page(started.verification_uri_complete)
        namespace, token = devices.wait(started, client=session.client)
    keep(session, namespace, token)
    click.echo(f"Successfully logged in to namespace {namespace}.")


def keep(session: Session, namespace: str, token: Token) -> None:
    """Be logged in with the token, and work in its namespace from now on."""
    from dataclasses import replace

    from micro import identity

    if namespace != session.namespace_name:
        session.choose_namespace(namespace)
    identity.keep(replace(session.target, namespace=namespace), token, session.client)


def _program() -> str:
    import socket

    import micro

    return f"micro {micro.__version__} on {socket.gethostname()}"


@click.command(cls=Command)
@pass_session
def logout(session: Session) -> None:
    """Log out of a server."""
    from micro import tokens

    tokens.remove(session.target)


@click.command(cls=Command)
@click.option("--email", help="Your e-mail address; asked for when it is not given.")
@click.option("--password", help="The password you want; asked for, twice, when it is not given.")
@click.option("--namespace", help="The name of your first namespace; asked for when it is not given.")
@click.option("--recover", is_flag=True, help="You have an account: set a new password instead.")
@pass_session
def signup(session: Session, email: str | None, password: str | None, namespace: str | None, recover: bool) -> None:
    """Sign up to a server, where that is open.

    A code is sent to your address. With it, a password and a name you get an account, and a namespace of your own.
    """
    from . import joining

    if recover:
        joining.recover(session, email=email, password=password)
    else:
        joining.sign_up(session, email=email, password=password, namespace=namespace)
