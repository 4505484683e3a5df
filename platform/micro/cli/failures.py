"""What a command says when it fails, and the exit code it leaves."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator

MALFORMED = re.compile(r'malformed method name: \\?"(?P<name>.*?)\\?"')
NO_ROUTE = re.compile(r"service (?P<name>.+?): route not found", re.DOTALL)
UNKNOWN = re.compile(r"unknown service (?P<name>[^\s\"\\]+)")


class Failure(Exception):
    """A sentence for stderr, and an exit code."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.exit_code = exit_code


class Abandoned(Exception):
    """Whoever read our output has left. Of the error itself click would make an exit code of its own."""


@contextlib.contextmanager
def noticing_readers() -> Iterator[None]:
    """Raises Abandoned when the block writes to who has left."""
    try:
        yield
    except BrokenPipeError:
        raise Abandoned from None


def explained(error: Exception) -> Failure | None:
    """What to tell the user about an error; None for one that is our own fault."""
    if isinstance(error, Failure):
        return error
    from micro import errors

    if isinstance(error, errors.Error):
        return _of_the_platform(error)
    if isinstance(error, OSError):
        return Failure(_of_the_system(error))
    if isinstance(error, UnicodeEncodeError):
        return Failure("An argument or a file's name holds bytes that are no text; all text is UTF-8.")
    if isinstance(error, UnicodeDecodeError):
        return Failure("What was read holds bytes that are no text; all text is UTF-8.")
    return None


def _of_the_system(error: OSError) -> str:
    """What the machine has against it, and the way out where there is one."""
    where = f"{error.filename}: " if error.filename else ""
    way_out = {
        errno.ENOSPC: "the disk is full; free some space, and try again",
        errno.EDQUOT: "your share of the disk is used up; free some space, and try again",
        errno.EROFS: "that disk cannot be written to; set HOME to a folder that can",
        errno.EACCES: "this user may not do that; look at the permissions",
    }.get(error.errno or 0, error.strerror or str(error))
    return capitalised(f"{where}{way_out}")


@contextlib.contextmanager
def as_mistakes(prefix: str = "", *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """What the platform refuses in the block is the user's mistake: its sentence after `prefix`, exit 1.

    Where it cannot be reached, or wants a login, the ordinary sentences are told. `but` names what passes as it is.
    """
    from micro import errors

    try:
        yield
    except errors.Error as error:
        if isinstance(error, (errors.Unavailable, errors.Unauthenticated, errors.DeadlineExceeded, *but)):
            raise
        raise Failure(prefix + error.detail if prefix else capitalised(error.detail)) from None


def needs_login(error: Exception) -> bool:
    """Whether somebody was refused because it is not known who they are."""
    from micro import errors

    return isinstance(error, errors.Unauthenticated)


def _of_the_platform(error: Exception) -> Failure:
    from micro import errors, wire

    text = getattr(error, "detail", str(error))
    if isinstance(error, (wire.NotMicro, wire.Untrusted)):
        return Failure(text, 4)
    if isinstance(error, wire.Unreachable):
        return Failure(f"{text}: {_way_to_a_server()}.", 4)
    if found := _by_text(text):
        return found
    if isinstance(error, errors.DeadlineExceeded):
        return Failure("Request timed out", 1)
    if isinstance(error, errors.Unauthenticated):
        way_in = getattr(error, "__notes__", ["Log in with `micro login`."])[-1]
        return Failure(f"Not authorized to perform this request\n{way_in}", 2)
    return Failure(text, getattr(error, "exit_code", 127))


def _way_to_a_server() -> str:
    if os.environ.get("MICRO_PROXY"):
        return "start one with `micro server`, or choose another in MICRO_PROXY, which names this one"
    return "start one with `micro server`, or choose another with `micro env set NAME`"


def _by_text(text: str) -> Failure | None:
    if text.startswith("upstream connect error"):
        return Failure("The server's gateway reaches nobody behind it just now: try again in a moment.", 4)
    if found := MALFORMED.search(text):
        return Failure(f'Method name "{found["name"]}" invalid format. Expecting service.endpoint', 3)
    if found := NO_ROUTE.search(text):
        return Failure(f'Service "{found["name"]}" not found', 4)
    if found := UNKNOWN.search(text):
        kind = "Service method" if "." in found["name"] else "Service"
        return Failure(f'{kind} "{found["name"]}" not found', 5)
    return None


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
