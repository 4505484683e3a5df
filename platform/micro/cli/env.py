"""`micro env`: the servers this command line knows."""

from __future__ import annotations

import re
from pathlib import Path

import click

from .commands import Group
from .failures import Failure
from .output import output_option, show
from .session import Session, pass_session

ENVIRONMENT_MISTAKE = 128  # Micro's exit code for it
NAME = re.compile(r"[A-Za-z0-9_-]+")
ADDRESS = re.compile(r"(?:\[[\da-fA-F:.]+\]|[^\s/@?#:\[\]]*)(?::(?P<port>\d{1,5}))?")


@click.group(cls=Group, invoke_without_command=True)
@output_option("table")
@click.pass_context
def env(ctx: click.Context, output: str) -> None:
    """Show and choose the servers this command line talks to.

    Without a subcommand: a table of them, the current one marked with a star. Each has its own namespace, login and
    git credentials. To talk to another one just once: micro -e NAME COMMAND
    """
    if ctx.invoked_subcommand is None:
        _show(ctx.ensure_object(Session), output)


def _show(session: Session, output: str) -> None:
    from micro import home

    known = home.environments(session.config)
    current = session.environment_name
    documents = [
        {
            "name": name,
            "address": environment.address or None,
            "description": environment.description,
            "ca": environment.ca or None,
            "is_current": name == current,
        }
        for name, environment in known.items()
    ]
    width = max(len(name) for name in known)
    addresses = {name: environment.address or "none" for name, environment in known.items()}
    address_width = max(len(address) for address in addresses.values())
    lines = [
        f"{'*' if name == current else ' '} {name:<{width}}   {addresses[name]:<{address_width}}    "
        f"{environment.description}".rstrip()
        for name, environment in known.items()
    ]
    show(documents, lines, output)


@env.command()
@output_option()
@pass_session
def get(session: Session, output: str) -> None:
    """Print the name of the current environment."""
    name = session.environment_name
    show({"name": name}, [name], output)


@env.command("set")
@click.argument("name")
@pass_session
def set_(session: Session, name: str) -> None:
    """Talk to this environment from now on."""
    from micro import home

    if name not in home.environments(session.config):
        raise _no_such(name)
    session.config.set("env", name)


@env.command()
@click.argument("name")
@click.argument("address", required=False, default="")
@click.option("--ca", default="", help="The file of an authority of your own that signed the server's certificate.")
@click.option("--description", default="", help="What it is, for the table.")
@pass_session
def add(session: Session, name: str, address: str, ca: str, description: str) -> None:
    """Remember a server: its name here, and its proxy's address as host:port.

    TLS is spoken on port 443, without a port, and with https:// in front; plain gRPC otherwise.
    """
    from micro import home

    if not NAME.fullmatch(name):
        raise Failure(f"Invalid name: {name!r}. Letters, digits, - and _ make the name of an environment.")
    known = home.environments(session.config)
    if name in known and known[name] in home.BUILT_IN and known[name].address:
        raise Failure(f"Environment '{name}' is built in: choose another name.")
    if ca and not Path(ca).is_file():
        raise Failure(f"There is no file {ca}.")
    known[name] = home.Environment(name, _checked(address), description, str(Path(ca).absolute()) if ca else "")
    home.save_environments(session.config, known)


@env.command("del")
@click.argument("name")
@pass_session
def del_(session: Session, name: str) -> None:
    """Forget a server. The current one cannot be forgotten."""
    from micro import home

    known = home.environments(session.config)
    if name not in known:
        raise _no_such(name)
    if name == session.environment_name:
        way_out = "choose another one with `micro env set NAME` first"
        raise Failure(f"Environment '{name}' is your current environment: {way_out}.", ENVIRONMENT_MISTAKE)
    if known[name] in home.BUILT_IN:
        raise Failure(f"Environment '{name}' is built in and cannot be deleted.")
    del known[name]
    home.save_environments(session.config, known)


def _checked(address: str) -> str:
    """The address; raises Failure for what is none."""
    rest = address.removeprefix("https://").removeprefix("http://").rstrip("/")
    found = ADDRESS.fullmatch(rest)
    if address and not (rest and found and 0 < int(found["port"] or 1) < 2**16):
        raise Failure(f"Invalid address: {address}. Try micro.example.com, or host:8081")
    return address


def _no_such(name: str) -> Failure:
    return Failure(f"Environment '{name}' does not exist", ENVIRONMENT_MISTAKE)
