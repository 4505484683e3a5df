"""How every command parses and helps: Go's single-dash flags are taken, and help comes in Micro's sections."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from .failures import Failure
from .help import GLOBAL_OPTIONS, columns, section

F = TypeVar("F", bound=Callable[..., Any])
GO_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("0", "f", "F", "false", "False", "FALSE"), False),
}

HELP = ("help", "h")  # as words, behind a command that has subcommands
GLOBAL = frozenset(name for names, _ in GLOBAL_OPTIONS.values() for name in names)
OPTION = re.compile(r"--?[A-Za-z][\w-]*(=.*)?", re.DOTALL)


def go_style(args: Sequence[str], params: Iterable[click.Parameter]) -> list[str]:
    """`-name=value` as `--name=value`, `-n=5` as `-n 5`, `-f=true` as `-f`, for the options that there are."""
    options = [param for param in params if isinstance(param, click.Option)]
    known = {spelling for option in options for spelling in option.opts} | {"--help"}
    switches = {spelling for option in options if option.is_flag for spelling in option.opts}
    result: list[str] = []
    for position, arg in enumerate(args):
        if arg == "--":
            return [*result, *args[position:]]
        result += _as_click_has_it(arg, known, switches)
    return result


def _as_click_has_it(arg: str, known: set[str], switches: set[str]) -> list[str]:
    name, equals, value = arg.partition("=")
    if name.startswith("-") and f"-{name}" in known:
        name = f"-{name}"
    if name not in known:
        return [arg]
    if equals and name in switches and value in GO_BOOLEANS:
        return [name] if GO_BOOLEANS[value] else []
    return [f"{name}{equals}{value}"] if name.startswith("--") or not equals else [name, value]


def values_last(args: Sequence[str], params: Iterable[click.Parameter]) -> list[str]:
    """The same, with what has a dash in front and looks like no option (-5, a PEM) kept from being taken for one."""
    options = [param for param in params if isinstance(param, click.Option)]
    takes_next = {spelling for option in options if not (option.is_flag or option.count) for spelling in option.opts}
    flags: list[str] = []
    values: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            values += rest
        elif arg.startswith("-") and len(arg) > 1 and OPTION.fullmatch(arg):
            flags.append(arg)
            if arg in takes_next:
                flags += itertools.islice(rest, 1)
        else:
            values.append(arg)
    return [*flags, "--", *values] if any(value.startswith("-") for value in values) else list(args)


def misuse(error: click.UsageError) -> str:
    """What is wrong with what was typed, and on a line of its own where it is said how it goes."""
    path = error.ctx.command_path if error.ctx else "micro"
    if isinstance(error, click.NoSuchOption) and error.option_name in GLOBAL and path != "micro":
        command = path.removeprefix("micro ")
        return f"{error.message}\nSay it before the command: micro {error.option_name} VALUE {command}"
    if isinstance(error, click.NoSuchOption) and error.ctx:
        hidden = {
            name for option in error.ctx.command.params if getattr(option, "hidden", False) for name in option.opts
        }
        shown = [name for name in error.possibilities or () if name not in hidden]
        error = click.NoSuchOption(error.option_name, error.message, shown, error.ctx)
    return f"{error.format_message()}\nPlease refer to '{path} --help'"


def without_effect(name: str, why: str, *, is_flag: bool = False) -> Callable[[F], F]:
    """An option of Micro 3 that changes nothing here: who gives it is told so, and why, on stderr."""

    def tell(ctx: click.Context, param: click.Parameter, _value: object) -> None:
        if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE and not ctx.resilient_parsing:
            click.echo(f"{name} has no effect here: {why}.", err=True)

    return click.option(name, is_flag=is_flag, hidden=True, expose_value=False, callback=tell)


def of_run(*names: str, why: str = "`micro run` takes it") -> Callable[[F], F]:
    """Options that Micro 3 took with every command of its runtime, and minded with `micro run` alone."""

    def add(function: F) -> F:
        for name in names:
            function = without_effect(name, why)(function)
        return function

    return add


def option_rows(command: click.Command, ctx: click.Context) -> list[tuple[str, str]]:
    options = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
    return [_option_row(option) for option in options if not option.hidden]


def _option_row(option: click.Option) -> tuple[str, str]:
    value = "" if option.is_flag or option.count else " value"
    return ", ".join(f"{name}{value}" for name in option.opts), option.help or ""


def texts(command: click.Command) -> tuple[str, list[str]]:
    """The summary of a command, and what its docstring says further."""
    summary, _, rest = inspect.cleandoc(command.help or "").partition("\n")
    return summary.rstrip("."), rest.strip().splitlines()


class Command(click.Command):
    """One command. Without the arguments it needs, it shows its help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            params = self.get_params(ctx)
            typed = go_style(args, params)
            return super().parse_args(ctx, values_last(typed, params) if ctx.allow_interspersed_args else typed)
        except click.MissingParameter as error:
            if not isinstance(error.param, click.Argument):
                raise
            click.echo(self.get_help(ctx))
            ctx.exit(0)

    def get_help(self, ctx: click.Context) -> str:
        return command_help(self, ctx)


class Group(click.Group):
    """A command with subcommands, which may do something without one, too."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            click.echo(self.get_help(ctx))
            ctx.exit(0)
        return super().parse_args(ctx, go_style(args, self.get_params(ctx)))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in HELP and name not in self.commands:
            return name, help_command(ctx.command_path.split()[1:]), args[1:]
        if name not in self.commands:
            from .meant import nearest

            raise Failure(
                f"Unrecognized subcommand for {ctx.command_path}: {name}. "
                f"Please refer to '{ctx.command_path} --help'{nearest(name, self.commands, ctx.command_path)}"
            )
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        return command_help(self, ctx)


def help_command(above: Sequence[str] = ()) -> click.Command:
    """`help` below the commands that lead to it."""

    @click.command("help")
    @click.argument("path", nargs=-1)
    def help_(path: tuple[str, ...]) -> None:
        """Show the help of a command."""
        from .root import cli

        cli.main([*above, *path, "--help"], prog_name="micro", standalone_mode=False)

    return help_


def command_help(command: click.Command, ctx: click.Context) -> str:
    summary, rest = texts(command)
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [section("NAME", [f"{ctx.command_path} - {summary}"]), section("USAGE", [usage])]
    if rest:
        parts.append(section("DESCRIPTION", rest))
    if isinstance(command, click.Group):
        rows = [(name, texts(sub)[0]) for name, sub in sorted(command.commands.items())]
        parts.append(section("COMMANDS", columns(rows)))
    parts.append(section("OPTIONS", columns(option_rows(command, ctx))))
    return "\n\n".join(parts)
