"""`micro completion`: the script that makes a shell ask us what may come next. See `answers` for what we say."""

from __future__ import annotations

import click

from micro.cli.commands import Command

VARIABLE = "_MICRO_COMPLETE"
SHELLS = ("bash", "fish", "zsh")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
def completion(shell: str) -> None:
    """Print the script that completes micro's commands in a shell.

    Completes commands, options and environments, and asks the server for services, their methods and flags, what
    runs, tables and config keys; its answers are kept for some seconds. Install it once:

    bash    echo 'eval "$(micro completion bash)"' >> ~/.bashrc

    zsh     echo 'eval "$(micro completion zsh)"' >> ~/.zshrc    (below compinit)

    fish    micro completion fish > ~/.config/fish/completions/micro.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from micro.cli.root import cli

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has one for each of SHELLS
    # Not kind.source(): for bash that asks the bash on PATH for its version first.
    script = ShellComplete.source(kind(cli, {}, "micro", VARIABLE))
    # fish's script takes an answer apart at every comma, but a name may have one, too.
    click.echo(script.replace('(string split "," ', '(string split --max 1 "," '))
