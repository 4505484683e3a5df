"""The root of the commands: finds a command or a service by name, and applies the global options."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from . import help as root_help
from .commands import HELP, go_style, help_command
from .failures import Failure, needs_login, noticing_readers
from .help import COMMANDS, GLOBAL_OPTIONS
from .session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Micro(click.Group):
    """Knows its commands by name; what is no command may be a service."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f".{COMMANDS[name][0]}", __package__), name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = _up_to_command(args)
        return super().parse_args(ctx, go_style(args[:own], self.get_params(ctx)) + args[own:])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in HELP:
            return name, help_command(), args[1:]
        if command := self.get_command(ctx, name):
            return name, command, args[1:]
        from .dynamic import command as service_command

        return name, service_command(name), args[1:]

    def get_help(self, ctx: click.Context) -> str:
        return root_help.text()

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with noticing_readers():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with noticing_readers():
            try:
                return super().invoke(ctx)
            except Exception as error:
                if needs_login(error) and ctx.obj:
                    error.add_note(ctx.obj.way_in())
                raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        if incomplete.startswith("-"):
            return super(click.Group, self).shell_complete(ctx, incomplete)
        from .completion.answers import first_words

        return first_words(ctx, incomplete)


# Micro 3's: they chose implementations, of which there is one here. Scripts that give them go on to work.
WITHOUT_MEANING = (
    *("profile", "auth_address", "auth_public_key", "auth_private_key", "registry_address", "broker_address"),
    *("store_address", "report_usage", "service_name", "service_version", "service_address", "prompt_update"),
    *("config_secret_key", "tracing_reporter_address"),
    *(f"{name}_tls_{file}" for name in ("registry", "broker", "events") for file in ("ca", "cert", "key")),
)
VALUED = {name.lstrip("-") for names, _ in GLOBAL_OPTIONS.values() for name in names} | set(WITHOUT_MEANING)


def _up_to_command(args: list[str]) -> int:
    """How many of the arguments come before the command: after it, dashes are the command's business."""
    position = 0
    while position < len(args) and args[position].startswith("-"):
        takes_next = args[position].lstrip("-") in VALUED
        position += 2 if takes_next else 1
    return min(position, len(args))


def _global_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name in WITHOUT_MEANING:
        function = click.option(f"--{name}", hidden=True, expose_value=False)(function)
    for destination, (names, meaning) in reversed(GLOBAL_OPTIONS.items()):
        function = click.option(*names, destination, default="", help=meaning)(function)
    return function


@click.command(
    cls=Micro, name="micro", context_settings={"help_option_names": ["--help", "-h"]}, invoke_without_command=True
)
@_global_options
@click.option("--version", "-v", is_flag=True, help="Print the version.")
@click.pass_context
def cli(ctx: click.Context, /, auth_id: str, auth_secret: str, version: bool, **chosen: str) -> None:
    """Choose the server, then the command."""
    for name, value in (("MICRO_AUTH_ID", auth_id), ("MICRO_AUTH_SECRET", auth_secret)):
        if value:
            os.environ[name] = value
    session = Session(**chosen)
    ctx.obj = session
    ctx.call_on_close(session.close)
    if version:
        click.echo(root_help.version())
        ctx.exit(0)
    if ctx.invoked_subcommand is None:
        raise Failure("No command provided to micro. Please refer to 'micro --help'")
