"""Environment variables as people paste them: the lines of a `.env` file."""

from __future__ import annotations

from io import StringIO

from dotenv.parser import Binding, parse_stream

from micro.errors import InvalidArgument


def read(text: str) -> dict[str, str]:
    """Read the variables of a `.env` file: quotes, `export`, comments and quoted values of several lines count.

    Nothing is put in for `$NAME`. Raises InvalidArgument, with the line's number, for a line that is no NAME=value and
    for a name that comes twice.
    """
    found: dict[str, str] = {}
    for binding in parse_stream(StringIO(text.removeprefix("\ufeff"))):
        if binding.key is None and not binding.error:
            continue  # blank, or a comment
        name, value = _variable(binding)
        if name in found:
            raise InvalidArgument(f"Line {binding.original.line}: {name[:40]} is there twice.")
        found[name] = value
    return found


def _variable(binding: Binding) -> tuple[str, str]:
    if binding.key is None or binding.value is None:
        shown, _, _ = binding.original.string.strip().partition("=")
        raise InvalidArgument(f"Line {binding.original.line}, {shown[:40]!r}, is not of the form NAME=value.")
    return binding.key, binding.value
