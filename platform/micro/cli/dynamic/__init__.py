"""`micro SERVICE [HANDLER] [METHOD] --field=value`: every service is a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from micro.cli.failures import Failure
from micro.cli.session import Session, pass_session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from micro.client import Client
    from micro.proto import registry_pb2


class ServiceCommand(click.Command):
    """The command of a service that may or may not be there; completion asks the server what it takes."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        from micro.cli.completion.answers import service_words

        return service_words(ctx, incomplete)


def _words(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    return ctx.command.shell_complete(ctx, incomplete)


def command(name: str) -> click.Command:
    """What `micro <name>` does when it is none of Micro's own: a plugin on PATH, else a service."""

    @click.command(
        name,
        cls=ServiceCommand,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )
    @click.argument("args", nargs=-1, type=click.UNPROCESSED, shell_complete=_words)
    @pass_session
    def dynamic(session: Session, args: tuple[str, ...]) -> None:
        from micro.cli import plugins

        plugins.run(name, args)
        _run(session.client, name, args)

    return dynamic


def _run(client: Client, name: str, args: tuple[str, ...]) -> None:
    from micro.cli import gateway

    from . import calling, flags, help
    from .endpoints import endpoints_of

    client, services = found(client, name)
    is_help = not args or {"--help", "-help", "-h"} & set(args)
    if all(service.protocol == "http" for service in services):
        told = f"{name} speaks HTTP and has no methods to call. Open it at {gateway.of(name, client)}."
        if not is_help:
            raise Failure(told)
        click.echo(help.of_http(name, services, told), err=not args)
        return
    endpoints = endpoints_of(services)
    words, typed = flags.split(args)
    if is_help:
        # Without a word it once was a call, whose answer nobody shall take this for.
        click.echo(help.text(name, services, endpoints, words), err=not args)
        return
    endpoint = flags.pick(name, words, endpoints)
    calling.call(client, name, endpoint, flags.parse(typed, endpoint))


def found(client: Client, name: str) -> tuple[Client, list[registry_pb2.Service]]:
    """The service in the current namespace, else in the platform's. Raises Failure when it is in neither."""
    from micro import errors

    for candidate in (client, client.within("micro")):
        try:
            if services := candidate.services(name):
                return candidate, services
        except errors.NotFound:
            continue
    from micro.cli.meant import hint

    way_out = hint(name, lambda: _services(client))
    raise Failure(f"Unrecognized micro command: {name}. Please refer to 'micro --help'{way_out}")


def _services(client: Client) -> list[str]:
    """The services of the namespace; none when nobody tells."""
    from micro import errors, registry

    try:
        return registry.services(client=client)
    except errors.Error:
        return []
