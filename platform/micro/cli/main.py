"""The `micro` command's entry: quick answers first, then the commands, and how failures end."""

from __future__ import annotations

import os
import sys

from . import help as root_help

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .failures import Failure

HELP = ("--help", "-help", "-h", "help", "h")
VERSION = ("--version", "-version", "-v")


def main(args: list[str] | None = None) -> None:
    """Run one command line and exit."""
    try:
        code = run(sys.argv[1:] if args is None else args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has left. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


def run(args: list[str]) -> int:
    """The exit code of one command line."""
    if instruction := os.environ.get("_MICRO_COMPLETE"):
        from .completion.answers import answer

        answer(instruction)
        return 0
    if len(args) == 1 and args[0] in HELP + VERSION:
        sys.stdout.write((root_help.text() if args[0] in HELP else root_help.version()) + "\n")
        return 0
    return _command(args)


def _command(args: list[str]) -> int:
    import click

    from .failures import Failure, explained
    from .root import cli

    try:
        result = cli.main(args, prog_name="micro", standalone_mode=False)
    except BrokenPipeError:
        raise
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("\n")
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
        sys.stderr.write(f"{failure.text}\n")
    return failure.exit_code
