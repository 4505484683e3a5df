"""The `micro` command: which commands there are, what the global options mean, and how failures end.

Nothing but click is imported until a command runs: `micro --help` has to be as quick as the shell.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

import micro

from .commands import columns, go_style, option_rows, section
from .failures import Failure, explained
from .session import Session

SUMMARY = "Source to running in one command, and the services that a distributed system needs"

START_HERE = (
    ("micro server", "start the platform on this machine"),
    ("micro login", "local server: username admin, password micro"),
    ("micro run ./helloworld", "a folder, or github.com/org/repo, to a running service"),
    ("micro helloworld --name=Joe", "call a service: micro SERVICE [METHOD] --field=value"),
    ("micro status", "what runs, and what went wrong"),
)

# Each command lives in the module of its noun, which is imported when the command runs.
COMMANDS = {
    "call": (
        "services",
        'Call a service\'s method with JSON, e.g. micro call helloworld Helloworld.Call \'{"name": "Joe"}\'',
    ),
    "env": ("env", "Show and choose the servers this command line talks to"),
    "kill": ("runtime", "Stop and remove services"),
    "login": ("account", "Log in to a server"),
    "logout": ("account", "Log out of a server"),
    "logs": ("runtime", "Show what a service prints, or its build"),
    "run": ("runtime", "Build and run a folder or a git repository as a service"),
    "server": ("server", "Start the platform on this machine"),
    "services": ("services", "List the services that can be called"),
    "status": ("runtime", "Show what runs, since when, and what went wrong"),
    "update": ("runtime", "Build and run a newer version of a service, without a failed request"),
    "user": ("account", "Show who is logged in, and their settings"),
}


class Micro(click.Group):
    """Knows its commands by name; what is no command may be a service."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        from importlib import import_module

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
        if name in ("help", "h"):
            return name, _help_command(), args[1:]
        if command := self.get_command(ctx, name):
            return name, command, args[1:]
        from .dynamic import command as service_command

        return name, service_command(name), args[1:]

    def get_help(self, ctx: click.Context) -> str:
        usage = [
            "micro [global options] COMMAND [options] [arguments]",
            "micro [global options] SERVICE [METHOD] [--field=value]",
        ]
        rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        rows.append(("help, h", "Show this, or the help of a command: micro help run"))
        parts = [
            section("NAME", [f"micro - {SUMMARY}"]),
            section("USAGE", usage),
            section("START HERE", columns(START_HERE)),
            section("VERSION", [f"v{micro.__version__}"]),
            section("COMMANDS", columns(rows)),
            section("GLOBAL OPTIONS", columns(option_rows(self, ctx))),
        ]
        return "\n\n".join(parts)


VALUED = ("c", "env", "e", "namespace", "proxy_address", "auth_id", "auth_secret")


def _up_to_command(args: list[str]) -> int:
    """How many of the arguments come before the command: after it, dashes are the command's business."""
    position = 0
    while position < len(args) and args[position].startswith("-"):
        takes_next = args[position].lstrip("-") in VALUED
        position += 2 if takes_next else 1
    return min(position, len(args))


@click.command(
    cls=Micro, name="micro", context_settings={"help_option_names": ["--help", "-h"]}, invoke_without_command=True
)
@click.option("--c", "config_file", help="The config file, instead of ~/.micro/config.json [MICRO_CONFIG_FILE].")
@click.option("--env", "-e", help="The environment to talk to; see micro env [MICRO_ENV].")
@click.option("--namespace", help="The namespace to work in [MICRO_NAMESPACE].")
@click.option("--proxy_address", help="A server's address, instead of an environment's [MICRO_PROXY].")
@click.option("--auth_id", help="The account to act as, instead of who is logged in [MICRO_AUTH_ID].")
@click.option("--auth_secret", help="That account's secret [MICRO_AUTH_SECRET].")
@click.option("--version", "-v", is_flag=True, help="Print the version.")
@click.pass_context
def cli(
    ctx: click.Context,
    config_file: str | None,
    env: str | None,
    namespace: str | None,
    proxy_address: str | None,
    auth_id: str | None,
    auth_secret: str | None,
    version: bool,
) -> None:
    """Choose the server, then the command."""
    for name, value in (("MICRO_AUTH_ID", auth_id), ("MICRO_AUTH_SECRET", auth_secret)):
        if value:
            os.environ[name] = value
    session = Session(env or "", namespace or "", proxy_address or "", config_file or "")
    ctx.obj = session
    ctx.call_on_close(session.close)
    if version:
        click.echo(f"micro version v{micro.__version__}")
        ctx.exit(0)
    if ctx.invoked_subcommand is None:
        raise Failure("No command provided to micro. Please refer to 'micro --help'")


def _help_command() -> click.Command:
    @click.command("help")
    @click.argument("path", nargs=-1)
    @click.pass_context
    def help_(ctx: click.Context, path: tuple[str, ...]) -> None:
        """Show the help of a command."""
        main([*path, "--help"])

    return help_


def main(args: list[str] | None = None) -> NoReturn:
    """Run one command line and exit."""
    try:
        code = _run(sys.argv[1:] if args is None else args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has left. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


def _run(args: list[str]) -> int:
    try:
        result = cli.main(args, prog_name="micro", standalone_mode=False)
    except BrokenPipeError:
        raise
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        return 130
    except click.ClickException as error:
        return _fail(Failure(error.format_message()))
    except Exception as error:
        failure = explained(error)
        if failure is None:
            raise
        return _fail(failure)
    return result if isinstance(result, int) else 0


def _fail(failure: Failure) -> int:
    if failure.text:
        click.echo(failure.text, err=True)
    return failure.exit_code
