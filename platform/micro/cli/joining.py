"""Signing up and setting a forgotten password, step by step. On a terminal, what was wrong is asked for again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from micro import errors, signup
from micro.wire import is_loopback

from . import account
from .asking import ask, ask_new_password, is_interactive
from .failures import Failure, as_mistakes, capitalised
from .session import Session

T = TypeVar("T")

# Of what the server refuses, that which another answer may mend.
MENDABLE = (errors.InvalidArgument, errors.AlreadyExists)


def sign_up(session: Session, *, email: str | None, password: str | None, namespace: str | None) -> None:
    """Send a code, check it, and make the account. Raises Failure with what the server refuses."""
    client = session.client
    email = _until_taken(email, "Enter email address: ", lambda given: signup.request(given, client=client))
    _say_where_the_code_is(session)
    code = _until_taken(
        None, "Enter the OTP sent to your email address: ", lambda given: signup.verify(email, given, client=client)
    )
    secret, name = password or ask_new_password(), namespace
    while True:
        name = ask("Enter a name for your namespace: ") if name is None else name
        try:
            with as_mistakes(but=MENDABLE):
                made, token = signup.complete(email, code, password=secret, namespace=name, client=client)
            break
        except MENDABLE as error:
            _complain_or_fail(error)
            secret, name = (ask_new_password(), name) if "password" in error.detail else (secret, None)
    account.keep(session, made, token)
    click.echo(f"\nSignup complete! You're now logged in.\nYour namespace is {made}.")


def _say_where_the_code_is(session: Session) -> None:
    """A server on this machine may well be one that sends no e-mails."""
    if is_loopback(session.target.address):
        click.echo("Where the server sends no e-mail, the code is in its MICRO_HOME/mail/latest.txt.", err=True)


def recover(session: Session, *, email: str | None, password: str | None) -> None:
    """Send a code, and set the password with it."""
    client = session.client
    email = _until_taken(email, "Enter email address: ", lambda given: signup.request_recovery(given, client=client))
    _say_where_the_code_is(session)
    code = ask("Enter the OTP sent to your email address: ")
    secret = password or ask_new_password()
    while True:
        try:
            with as_mistakes(but=MENDABLE):
                signup.recover(email, code, password=secret, client=client)
            break
        except MENDABLE as error:
            _complain_or_fail(error)
            if "code" in error.detail:
                code = ask("Enter the OTP sent to your email address: ")
            else:
                secret = ask_new_password()
    click.echo("Your password is changed. Log in with `micro login`.")


def _until_taken(given: str | None, prompt: str, check: Callable[[str], object]) -> str:
    """What was given, or else typed, once `check` takes it."""
    while True:
        answer = given if given is not None else ask(prompt).strip()
        try:
            with as_mistakes(but=MENDABLE):
                check(answer)
        except MENDABLE as error:
            _complain_or_fail(error)
            given = None
        else:
            return answer


def _complain_or_fail(error: errors.Error) -> None:
    """Say what is wrong where somebody can mend it; raise Failure where nobody can."""
    if not is_interactive():
        raise Failure(capitalised(error.detail)) from None
    click.echo(capitalised(error.detail), err=True)
