"""`micro cli`: a prompt with history and completion. Each line is a command line of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from .commands import Command
from .help import GLOBAL_OPTIONS

PROMPT = "micro> "
KEPT_LINES = 1000
SECRET = re.compile(r"--?(\w+[-_])?(password|secret|token|otp)\b")  # such lines stay out of the history
RUN = "from micro.cli.main import main; main()"


@click.command(cls=Command)
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Type commands at a prompt, with history and completion.

    Each line is a command without the word micro. Tab completes, the arrow keys bring back earlier lines, which are
    kept in ~/.micro/history, but for those with a password or secret. exit, quit or Ctrl-D ends.

    What comes through a pipe is run line by line to its end; the exit code is that of the last line that failed.
    """
    chosen = _global_options(ctx)
    if not sys.stdin.isatty():
        return _run_all(chosen, sys.stdin)
    with _line_editing(chosen):
        _run_all(chosen, _typed())
    return 0


def _global_options(ctx: click.Context) -> list[str]:
    """Those of `micro cli` itself hold for every line."""
    given = ctx.find_root().params
    return [f"{names[0]}={given[name]}" for name, (names, _) in GLOBAL_OPTIONS.items() if given.get(name)]


def _typed() -> Iterator[str]:
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()


def _run_all(chosen: list[str], lines: Iterator[str]) -> int:
    """Run each line; the exit code of the last one that failed, 0 when none did."""
    code = 0
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            click.echo(f"{line.strip()}: {error}", err=True)
            code = 1
            continue
        if words[:1] in (["exit"], ["quit"]):
            break
        if words[:1] == ["micro"]:
            del words[0]
        if words:
            code = _run([*chosen, *words]) or code
    return code


def _run(args: list[str]) -> int:
    """One command in a process of its own, so that nothing it does outlives it. Ctrl-C is its to take."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    stdin = None if sys.stdin.isatty() else subprocess.DEVNULL
    try:
        return subprocess.run([sys.executable, "-P", "-c", RUN, *args], check=False, stdin=stdin).returncode
    finally:
        signal.signal(signal.SIGINT, before)


# Line editing.


@contextlib.contextmanager
def _line_editing(chosen: list[str]) -> Iterator[None]:
    """Completion and a kept history, where this Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    from micro import home

    readline.set_completer_delims(" \t\n")
    readline.set_completer(_completer(chosen))
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(KEPT_LINES)
    path = home.folder() / "history"
    with contextlib.suppress(OSError):  # there is none yet
        readline.read_history_file(path)
    try:
        yield
    finally:
        for position in range(readline.get_current_history_length(), 0, -1):
            if SECRET.search(readline.get_history_item(position) or ""):
                readline.remove_history_item(position - 1)
        with contextlib.suppress(OSError):  # a home that cannot be written to only costs the history
            _keep_history(path)


def _keep_history(path: Path) -> None:
    import readline

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    readline.write_history_file(path)


def _completer(chosen: list[str]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - readline's own type
    found: list[str] = []

    def complete(_word: str, state: int) -> str | None:
        if state == 0:
            found[:] = _completions(chosen)
        return found[state] if state < len(found) else None

    return complete


def _completions(chosen: list[str]) -> list[str]:
    import readline

    from .completion import answers

    line = readline.get_line_buffer()[: readline.get_endidx()]
    try:
        words = shlex.split(line)
    except ValueError:  # a quote is open
        return []
    if not line or line[-1].isspace():
        words.append("")
    if words[0] == "micro" and len(words) > 1:
        del words[0]
    items = answers.offered([*chosen, *words[:-1]], words[-1])
    return [text for item in items for text in _texts(item.value, item.type)]


def _texts(value: str, kind: str) -> list[str]:
    """A word with the blank after it; for a place, the folders and files that it may mean."""
    if kind == "plain":
        return [f"{value} "]
    folder, slash, begun = value.rpartition("/")
    with contextlib.suppress(OSError):  # no such folder
        paths = sorted(path for path in Path(f"{folder}{slash}" or ".").iterdir() if path.name.startswith(begun))
        return [f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}" for path in paths]
    return []
