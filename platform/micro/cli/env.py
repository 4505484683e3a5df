"""`micro env`: the servers this command line knows."""

from __future__ import annotations

import click

from .commands import Group
from .failures import Failure
from .session import Session, pass_session


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def env(ctx: click.Context) -> None:
    """Show and choose the servers this command line talks to.

    Without a subcommand: a table of them, the current one marked with a star.
    """
    if ctx.invoked_subcommand is None:
        _show(ctx.ensure_object(Session))


def _show(session: Session) -> None:
    from micro import home

    known = home.environments(session.config)
    current = _current(session)
    width = max(len(name) for name in known)
    addresses = {name: environment.address or "none" for name, environment in known.items()}
    address_width = max(len(address) for address in addresses.values())
    for name, environment in known.items():
        marker = "*" if name == current else " "
        line = f"{marker} {name:<{width}}  {addresses[name]:<{address_width}}  {environment.description}"
        click.echo(line.rstrip())


def _current(session: Session) -> str:
    import os

    return session.environment or os.environ.get("MICRO_ENV") or session.config.get("env") or "local"


@env.command()
@pass_session
def get(session: Session) -> None:
    """Print the name of the current environment."""
    click.echo(_current(session))


@env.command("set")
@click.argument("name")
@pass_session
def set_(session: Session, name: str) -> None:
    """Talk to this environment from now on."""
    from micro import home

    if name not in home.environments(session.config):
        raise Failure(f"Environment '{name}' does not exist", 128)
    session.config.set("env", name)


@env.command()
@click.argument("name")
@click.argument("address", required=False, default="")
@pass_session
def add(session: Session, name: str, address: str) -> None:
    """Remember a server: its name here, and its proxy's address as host:port."""
    from micro import home

    known = home.environments(session.config)
    known[name] = home.Environment(name, address)
    home.save_environments(session.config, known)


@env.command("del")
@click.argument("name")
@pass_session
def del_(session: Session, name: str) -> None:
    """Forget a server. The current one cannot be forgotten."""
    from micro import home

    if name == _current(session):
        raise Failure(f"Environment '{name}' is the current one: choose another with `micro env set NAME` first.")
    known = home.environments(session.config)
    if name not in known:
        raise Failure(f"Environment '{name}' does not exist", 128)
    if any(name == built_in.name for built_in in home.BUILT_IN):
        raise Failure(f"Environment '{name}' is built in and cannot be deleted.")
    del known[name]
    home.save_environments(session.config, known)
