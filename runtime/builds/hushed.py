"""Runs a program and passes on what it prints, without secrets. A program of its own: it is killed like one.

Arguments: the names of environment variables that hold addresses, "--", the program's command line. Of these addresses
user and password are replaced by an ellipsis, as they are and decoded. Ends with the program's status.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import IO
from urllib.parse import unquote, urlsplit

CHUNK_BYTES = 1 << 16
LONGEST_LINE_BYTES = 1 << 20
SHORTEST_BYTES = 4  # alone; with the rest of its address anything is left out
ELLIPSIS = "\u2026".encode()


def secrets(values: Iterable[str]) -> list[bytes]:
    """What is to be left out of an output, longest first: the credentials in `values`, which are addresses or lists."""
    found = {secret.encode() for value in values for word in value.split() for secret in _credentials(word)}
    return sorted(found, key=len, reverse=True)


def _credentials(address: str) -> Iterator[str]:
    head = urlsplit(address if "://" in address else f"//{address}").netloc
    both, at, _host = head.rpartition("@")
    if not at:
        return
    user, _, password = both.partition(":")
    yield f"{both}@"
    yield f"{unquote(both)}@"
    secret = password or user  # a token alone stands where the user does
    yield from (each for each in (secret, unquote(secret)) if len(each) >= SHORTEST_BYTES)


def without(secrets: Iterable[bytes], text: bytes) -> bytes:
    """The text with an ellipsis for each secret."""
    for secret in secrets:
        text = text.replace(secret, ELLIPSIS + b"@" * secret.endswith(b"@"))
    return text


def passed_on(output: IO[bytes], hidden: list[bytes]) -> Iterator[bytes]:
    """What comes from `output`, line by line, so that no secret is cut in two."""
    kept = max(map(len, hidden), default=1)
    waiting = b""
    while part := os.read(output.fileno(), CHUNK_BYTES):
        waiting = without(hidden, waiting + part)
        end = waiting.rfind(b"\n") + 1
        if not end and len(waiting) > LONGEST_LINE_BYTES:
            end = len(waiting) - kept
        if end:
            yield waiting[:end]
            waiting = waiting[end:]
    yield waiting


def main(arguments: list[str]) -> int:
    """Run the program; its status."""
    border = arguments.index("--")
    names, argv = arguments[:border], arguments[border + 1 :]
    hidden = secrets(os.environ.get(name, "") for name in names)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
        assert program.stdout  # noqa: S101 - a pipe was asked for
        for text in passed_on(program.stdout, hidden):
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
    return program.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
