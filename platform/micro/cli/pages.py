"""The pages of `docs/cli`, one for each command, from the commands themselves: `python -m micro.cli.pages docs/cli`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from .commands import option_rows, texts
from .help import COMMANDS, GLOBAL_OPTIONS, SUMMARY

INTRODUCTION = f"""# The command line

{SUMMARY}.

```
micro [global options] COMMAND [options] [arguments]
micro [global options] SERVICE [METHOD] [--field=value]
```

What is no command below is a plugin, a program `micro-NAME` on `PATH`, and else a service: each of its methods is a
command, see [calling services](../calling.md#from-the-command-line). `--help` behind any of them says what it takes.
Flags may have one dash or two.

Servers elsewhere, logins, `--output json` and exit codes are [the same for all of them](../commandline.md).

These pages are made from the code (`make docs`)."""


def pages() -> dict[str, str]:
    """Each page by the name of its file."""
    from .root import cli

    context = click.Context(cli, info_name="micro")
    made = {"README.md": _index()}
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None  # noqa: S101 - COMMANDS names those that there are
        made[f"{name}.md"] = "\n\n".join(_sections(command, context, name, depth=1)) + "\n"
    return made


def _index() -> str:
    rows = [(f"[`micro {name}`]({name}.md)", _cell(summary)) for name, (_, summary) in COMMANDS.items()]
    options = [(_code(f"{name} value" for name in names), _cell(meaning)) for names, meaning in GLOBAL_OPTIONS.values()]
    parts = [INTRODUCTION, "## Commands", _table(("", ""), rows), "## Global options", _table(("", ""), options)]
    return "\n\n".join(parts) + "\n"


def _sections(command: click.Command, parent: click.Context, name: str, *, depth: int) -> Iterator[str]:
    """The command, and below it those that it has."""
    context = click.Context(command, info_name=name, parent=parent)
    summary, rest = texts(command)
    yield f"{'#' * depth} {context.command_path}"
    yield f"{summary}."
    yield "```\n" + " ".join([context.command_path, *command.collect_usage_pieces(context)]) + "\n```"
    yield from _description(rest)
    options = [row for row in option_rows(command, context) if row[0].split(", ")[0] != "--help"]
    if options:
        yield _table(("option", ""), [(_code(names.split(", ")), _cell(meaning)) for names, meaning in options])
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            yield from _sections(command.commands[sub], context, sub, depth=2)


def _description(lines: list[str]) -> Iterator[str]:
    """Paragraphs; one that is a command line, or columns, is shown as it is typed."""
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip()):
        if found := re.match(r"micro |\S+ {3,}", paragraph):
            yield f"```{'sh' if found[0] == 'micro ' else ''}\n{paragraph}\n```"
        elif paragraph:
            yield _prose(" ".join(paragraph.split()))


def _prose(text: str) -> str:
    return re.sub(r"<(\w+)>", r"`<\1>`", text)


def _code(words: object) -> str:
    return ", ".join(f"`{word}`" for word in words)  # type: ignore[attr-defined]


def _cell(text: str) -> str:
    """Text that stands in a table: a bar would end its cell."""
    return _prose(text.replace("|", "\\|"))


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [header, ("---", "---"), *rows]
    return "\n".join(f"| {first} | {second} |" for first, second in lines)


def write(folder: Path) -> None:
    """Make the folder hold the pages, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
