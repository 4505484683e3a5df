"""`micro vars` and `micro secrets`: the environment variables of a service."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from .commands import Group
from .failures import Failure, as_mistakes
from .output import output_option, show
from .session import Session, pass_session

if TYPE_CHECKING:
    from micro.proto.runtime_pb2 import Variable

_SERVICE = click.argument("service", metavar="NAME[@VERSION]")
_DETACH = click.option("--detach", "-d", is_flag=True, help="Do not wait until it runs with them.")


@click.group(cls=Group)
def secrets() -> None:
    """Show, set and remove the secrets of a service.

    A secret is an environment variable that nobody can read again but the service itself. A change deploys what runs
    anew, without a failed request.
    """


@click.group("vars", cls=Group)
def vars() -> None:
    """Show, set and remove the environment variables of a service.

    A change deploys what runs anew, without a failed request. For what nobody shall read again, see `micro secrets`.
    """


@secrets.command("list")
@_SERVICE
@output_option()
@pass_session
def list_secrets(session: Session, service: str, output: str) -> None:
    """List the names of a service's secrets."""
    names = [variable.name for variable in _known(session, service) if variable.is_secret]
    show([{"name": name} for name in names], names, output)


@secrets.command("set")
@_SERVICE
@click.argument("pairs", nargs=-1, metavar="KEY=VALUE...")
@_DETACH
@pass_session
def set_secrets(session: Session, service: str, pairs: tuple[str, ...], detach: bool) -> None:
    """Set secrets of a service.

    KEY=- reads the value from standard input, so that it is in no shell's history:
    micro secrets set shop API_KEY=- < key.txt
    """
    _change(session, service, secrets=_read(pairs), is_awaited=not detach)


@secrets.command("del")
@_SERVICE
@click.argument("names", nargs=-1, required=True, metavar="KEY...")
@_DETACH
@pass_session
def delete_secrets(session: Session, service: str, names: tuple[str, ...], detach: bool) -> None:
    """Remove secrets of a service."""
    _remove(session, service, names, is_secret=True, is_awaited=not detach)


@vars.command("list")
@_SERVICE
@output_option()
@pass_session
def list_variables(session: Session, service: str, output: str) -> None:
    """List a service's variables; of secrets only the names."""
    found = _known(session, service)
    documents = [
        {"name": each.name, "value": None if each.is_secret else each.value, "is_secret": each.is_secret}
        for each in found
    ]
    show(documents, [f"{each.name}={'[secret]' if each.is_secret else each.value}" for each in found], output)


@vars.command("set")
@_SERVICE
@click.argument("pairs", nargs=-1, metavar="KEY=VALUE...")
@_DETACH
@pass_session
def set_variables(session: Session, service: str, pairs: tuple[str, ...], detach: bool) -> None:
    """Set variables of a service."""
    _change(session, service, plain=_read(pairs), is_awaited=not detach)


@vars.command("del")
@_SERVICE
@click.argument("names", nargs=-1, required=True, metavar="KEY...")
@_DETACH
@pass_session
def delete_variables(session: Session, service: str, names: tuple[str, ...], detach: bool) -> None:
    """Remove variables of a service."""
    _remove(session, service, names, is_secret=False, is_awaited=not detach)


def _known(session: Session, service: str) -> list[Variable]:
    from micro import runtime

    from .source import named

    with as_mistakes():
        return runtime.variables(*named(service), client=session.client)


def _read(pairs: tuple[str, ...]) -> dict[str, str]:
    """The variables that were typed. Raises Failure for what is no KEY=VALUE, and for none."""
    if not pairs:
        raise Failure("Say what to set, as KEY=VALUE.")
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise Failure(f"Invalid variable: {pair}. Expected format: KEY=VALUE")
        found[name] = sys.stdin.read().rstrip("\n") if value == "-" else value
    return found


def _remove(session: Session, service: str, names: tuple[str, ...], *, is_secret: bool, is_awaited: bool) -> None:
    known = {variable.name for variable in _known(session, service) if variable.is_secret == is_secret}
    if missing := sorted(set(names) - known):
        raise Failure(f"{service} has no {'secret' if is_secret else 'variable'} {missing[0]}.")
    _change(session, service, removed=names, is_awaited=is_awaited)


def _change(
    session: Session,
    service: str,
    *,
    plain: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    removed: tuple[str, ...] = (),
    is_awaited: bool,
) -> None:
    from micro import runtime

    from . import deployment
    from .source import named

    name, version = named(service)
    with as_mistakes():
        runtime.set_variables(name, version, plain=plain, secrets=secrets, removed=removed, client=session.client)
    if is_awaited:
        deployment.follow(session, name, version)
    else:
        deployment.tell_accepted(name, version)
