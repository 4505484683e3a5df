"""What may come next on a command line that is being typed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from micro.cli.failures import Failure

from . import live, words

Item = CompletionItem[str]
Answer = Callable[[click.Context, str], list[Item]]


def answer(instruction: str) -> None:
    """Print the answer for `<shell>_complete`; nothing when the server is away, or when the line is none."""
    from micro.cli.root import cli

    kind = get_completion_class(instruction.partition("_")[0])
    if kind is None:
        return
    shell = kind(cli, {}, "micro", "")
    args, typed = shell.get_completion_args()
    if shell.name == "fish" and not typed and args[-1:] == [""]:
        args.pop()  # a quote that is open has nothing in it yet
    items = words.for_bash(args, typed, offered) if shell.name == "bash" else offered(args, typed)
    sys.stdout.write("".join(f"{shell.format_completion(item)}\n" for item in items))


def offered(args: list[str], typed: str) -> list[Item]:
    """The words that may stand where `typed` is begun, after `args`; none when the server is away, or on nonsense."""
    from micro import errors

    try:
        return _offered(*_split(args, typed))
    except (errors.Error, Failure, click.ClickException, OSError):
        return []


def _offered(args: list[str], typed: str, prefix: str) -> list[Item]:
    from micro.cli.root import cli

    _ask_the_server(args)
    items = ShellComplete(cli, {}, "micro", "").get_completions(args, typed)
    return [Item(f"{prefix}{item.value}", type=item.type, help=item.help) for item in items] if prefix else items


def _split(args: list[str], typed: str) -> tuple[list[str], str, str]:
    """`--flag=va` as a flag and the beginning of its value. bash has split it already, others want the whole back."""
    if typed == "=":
        return args, "", ""
    if args and args[-1] == "=":
        return args[:-1], typed, ""
    name, equals, value = typed.partition("=")
    if equals and name.startswith("--"):
        return [*args, name], value, f"{name}="
    return args, typed, ""


def _ask_the_server(args: list[str]) -> None:
    """Give the arguments of the command that is typed what the server knows of them."""
    from micro.cli.root import cli

    for param in cli.params:
        if found := GLOBAL.get(param.name or ""):
            setattr(param, "shell_complete", found)  # noqa: B010 - as below
    for word in args:
        if command := cli.get_command(click.Context(cli), word):
            _attach(command, word)


def _attach(command: click.Command, path: str) -> None:
    for param in command.params:
        if found := ARGUMENTS.get(f"{path} {param.name}"):
            setattr(param, "shell_complete", found)  # noqa: B010 - a method in place of click's own
    if isinstance(command, click.Group):
        for name, sub in command.commands.items():
            _attach(sub, f"{path} {name}")


# Commands.


def first_words(ctx: click.Context, typed: str) -> list[Item]:
    """Micro's commands, plugins, and services."""
    from micro.cli import plugins
    from micro.cli.help import COMMANDS

    known = {name: summary for name, (_, summary) in COMMANDS.items()}
    for name in plugins.names():
        known.setdefault(name, "a plugin")
    for name in live.services(ctx):
        known.setdefault(name, "a service")
    return _starting(typed, known.items())


# Arguments.


def _names(ask: Callable[[click.Context], list[str]]) -> Answer:
    return lambda ctx, typed: _starting(typed, ((name, "") for name in ask(ctx)))


def _starting(typed: str, known: Any) -> list[Item]:
    return [Item(name, help=help or None) for name, help in known if name.startswith(typed)]


def _environments(ctx: click.Context, typed: str) -> list[Item]:
    from micro import home

    known = home.environments(live.session(ctx).config)
    return _starting(typed, ((name, environment.description) for name, environment in known.items()))


def _endpoints(ctx: click.Context, typed: str) -> list[Item]:
    known = live.methods(ctx, ctx.params.get("service") or "")
    return _starting(typed, ((method["endpoint"], method["comment"]) for method in known))


def _source(_ctx: click.Context, typed: str) -> list[Item]:
    return [Item(typed, type="dir")]


def _file(_ctx: click.Context, typed: str) -> list[Item]:
    return [Item(typed, type="file")]


def _commands(_ctx: click.Context, typed: str) -> list[Item]:
    from micro.cli.help import COMMANDS

    return _starting(typed, ((name, summary) for name, (_, summary) in COMMANDS.items()))


# By the name of the global option.
GLOBAL: dict[str, Answer] = {"config_file": _file, "environment": _environments}

# By command and the name of the argument or option.
ARGUMENTS: dict[str, Answer] = {
    "cancel name": _names(live.running),
    "call endpoint": _endpoints,
    "call service": _names(live.services),
    "config del key": _names(live.config_keys),
    "config get key": _names(live.config_keys),
    "config history key": _names(live.config_keys),
    "config set key": _names(live.config_keys),
    "debug health services": _names(live.services),
    "debug stats services": _names(live.services),
    "deployments name": _names(live.running),
    "env add ca": _file,
    "env del name": _environments,
    "env set name": _environments,
    "get service name": _names(live.services),
    "help path": _commands,
    "kill names": _names(live.running),
    "logs name": _names(live.running),
    "redeploy what": _names(live.running),
    "run source": _source,
    "secrets del service": _names(live.running),
    "secrets list service": _names(live.running),
    "secrets set service": _names(live.running),
    "stats services": _names(live.services),
    "status name": _names(live.running),
    "store delete table": _names(live.tables),
    "store list table": _names(live.tables),
    "store read table": _names(live.tables),
    "store write table": _names(live.tables),
    "stream endpoint": _endpoints,
    "stream service": _names(live.services),
    "update source": _source,
    "vars del service": _names(live.running),
    "vars list service": _names(live.running),
    "vars set service": _names(live.running),
    "web service": _names(live.running),
}


# Services.


def service_words(ctx: click.Context, typed: str) -> list[Item]:
    """A service's methods; then the flags of the one that is typed, or the values of its last flag."""
    from micro.cli.dynamic import flags

    args = tuple(ctx.params.get("args") or ())
    words, given = flags.split(args)
    methods = live.methods(ctx, ctx.info_name or "")
    if not (given or typed.startswith("-")):
        return _starting(typed, _methods(methods, words))
    method = _method(ctx.info_name or "", words, methods)
    if method is None:
        return []
    known = {flag["name"]: flag for flag in method["flags"]}
    last = given[-1].lstrip("-").replace("-", "_").replace(".", "_") if given and given[-1].startswith("-") else ""
    if last in known and "=" not in given[-1] and not typed.startswith("-"):
        return _starting(typed, ((value, "") for value in known[last]["values"]))
    return _starting(typed, ((f"--{name}", flag["help"]) for name, flag in known.items()))


def _methods(methods: list[dict[str, Any]], words: list[str]) -> Iterator[tuple[str, str]]:
    """What may follow the words: of `handler method`, the handler comes first."""
    for method in methods:
        parts = method["command"].split(" ")
        if parts[: len(words)] == words and len(parts) > len(words):
            yield parts[len(words)], method["comment"]


def _method(service: str, words: list[str], methods: list[dict[str, Any]]) -> dict[str, Any] | None:
    from micro.cli.dynamic import flags
    from micro.cli.dynamic.endpoints import Endpoint

    try:
        picked = flags.pick(service, words, [Endpoint(method["endpoint"]) for method in methods])
    except Failure:
        return None
    return next(method for method in methods if method["endpoint"] == picked.name)
