"""`micro cancel`: end a deployment that is under way."""

from __future__ import annotations

import click

from .commands import Command
from .failures import Failure, capitalised
from .session import Session, pass_session


@click.command(cls=Command)
@click.argument("name", metavar="NAME[@VERSION]")
@pass_session
def cancel(session: Session, name: str) -> None:
    """End a deployment that is under way.

    Its build stops within seconds, and replicas that it has started go. What ran before goes on running. The version
    is latest unless it is given.
    """
    from micro import errors, runtime

    from .source import named

    name, version = named(name)
    try:
        runtime.cancel(name, version, client=session.client)
    except errors.FailedPrecondition as error:
        raise Failure(capitalised(error.detail)) from None
    except errors.NotFound:
        raise Failure(f"There is no service {name}@{version}.", 127) from None
    click.echo(f"The deployment of {name} is cancelled.", err=True)
