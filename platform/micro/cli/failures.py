"""What a command says when it fails, and the exit code it leaves."""

from __future__ import annotations

import re

MALFORMED = re.compile(r'malformed method name: \\?"(?P<name>.*?)\\?"')
NO_ROUTE = re.compile(r"service (?P<name>\S+): route not found")
UNKNOWN = re.compile(r"unknown service (?P<name>[^\s\"\\]+)")


class Failure(Exception):
    """A sentence for stderr, and an exit code."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.exit_code = exit_code


def explained(error: Exception) -> Failure | None:
    """What to tell the user about an error; None for one that is our own fault."""
    if isinstance(error, Failure):
        return error
    from micro import errors

    if isinstance(error, errors.Error):
        return _of_the_platform(error)
    if isinstance(error, OSError):
        return Failure(capitalised(f"{error.filename}: {error.strerror}" if error.filename else str(error)))
    return None


def _of_the_platform(error: Exception) -> Failure:
    from micro import errors, wire

    text = getattr(error, "detail", str(error))
    if isinstance(error, wire.Unreachable):
        return Failure(f"{text}: start one with `micro server`, or choose another with `micro env set NAME`.", 4)
    if found := _by_text(text):
        return found
    if isinstance(error, errors.DeadlineExceeded):
        return Failure("Request timed out", 1)
    if isinstance(error, errors.Unauthenticated):
        return Failure("Not authorized to perform this request\nLog in with `micro login`.", 2)
    return Failure(text, getattr(error, "exit_code", 127))


def _by_text(text: str) -> Failure | None:
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
