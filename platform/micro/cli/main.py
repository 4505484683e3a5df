"""The `micro` command's entry: quick answers first, then the commands, and how failures end."""

from __future__ import annotations

import os
import sys

from . import help as root_help

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from threading import Thread

    from .failures import Failure

HELP = ("--help", "-help", "-h", "help", "h")
VERSION = ("--version", "-version", "-v")


def main(args: list[str] | None = None) -> None:
    """Run one command line and exit."""
    _take_any_text()
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # grpcio would write what our own sentences say
    try:
        code = run(sys.argv[1:] if args is None else args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _interrupted()
    except BrokenPipeError:
        code = _abandoned()
    except OSError as error:  # standard output itself cannot be written: a full disk behind it
        _say(f"The output cannot be written: {error.strerror or error}.")
        code = min(_abandoned(), 1)
    _ignore_ctrl_c()
    if args is None:
        _leave(code)
    sys.exit(code)


def _take_any_text() -> None:
    """What a terminal cannot show, or a file name that is no text, is shown escaped; what was closed is nobody's."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process lives
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _ignore_ctrl_c() -> None:
    """All is done: it could only make a mess of the end. Not where nothing has loaded `signal`, which ends at once."""
    if signal := sys.modules.get("signal"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(code: int) -> None:
    """End the process, unless a thread is left to wait for. To take Python down would last as long as a call."""
    import atexit

    if (threading := sys.modules.get("threading")) and _others(threading.enumerate()):
        return
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # what there was to say has been said; this is of those handlers
            code = code or 1
    os._exit(code)


def _others(threads: Iterable[Thread]) -> list[Thread]:
    """The threads that Python waits for at its end, beside the one that ends it."""
    return [thread for thread in threads if not thread.daemon and thread.name != "MainThread"]


def _abandoned() -> int:
    """Whoever read our output has left. Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 141


def _interrupted() -> int:
    """Ctrl-C. A second one, while we say so, changes nothing."""
    _say("Interrupted.")
    return 130


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


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

    from .failures import Abandoned, Failure, explained
    from .root import cli

    try:
        result = cli.main(args, prog_name="micro", standalone_mode=False)
    except Abandoned:
        return _abandoned()
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except click.UsageError as error:
        from .commands import misuse

        return _fail(Failure(misuse(error)))
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
        _say(failure.text)
    return failure.exit_code
