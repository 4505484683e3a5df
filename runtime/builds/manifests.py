"""Reading what a source says of itself: little of each file, nothing outside the source, and what can explode apart.

A few kilobytes of Python or TOML can take a parser minutes and gigabytes, so those run in a process of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from micro.errors import InvalidArgument

LARGEST_BYTES = 1 << 20
PATIENCE_S = 10
LARGEST_ANSWER_BYTES = 4 << 20
_LIMITED = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, ({PATIENCE_S}, {PATIENCE_S}))
resource.setrlimit(resource.RLIMIT_FSIZE, ({LARGEST_ANSWER_BYTES}, {LARGEST_ANSWER_BYTES}))
sys.argv = sys.argv[1:]
"""
_FILE = _LIMITED + "runpy.run_path(sys.argv[0], run_name='__main__')"
_TOML = (
    _LIMITED
    + "import json, tomllib\njson.dump(tomllib.loads(sys.stdin.buffer.read().decode()), sys.stdout, default=str)"
)
_MODULE = _LIMITED + "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"


class TooMuch(Exception):
    """A file took more time or memory to read than there is for it."""


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path is a plain file below `folder`, after any link: others may be the server's, or never end."""
    try:
        return path.resolve().is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, RuntimeError):  # a circle of links
        return False


def read(folder: Path, name: str) -> str:
    """The text of a file of a source, in which what is no text is replaced.

    Raises InvalidArgument when it is a link that leads out of the folder, or larger than 1 MiB.
    """
    path = folder / name
    if not is_within(path, folder):
        raise InvalidArgument(f"The {name} is no plain file of the source.")
    content = beginning(path, LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise InvalidArgument(f"The {name} is larger than {LARGEST_BYTES >> 20} MiB.")
    return content.decode(errors="replace")


def beginning(path: Path, size_bytes: int) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(size_bytes)


def read_toml(folder: Path, name: str) -> dict[str, Any]:
    """The document of a TOML file. Raises InvalidArgument as `read` does, and for what cannot be read."""
    text = read(folder, name)
    try:
        document: dict[str, Any] = _answer(_TOML, (), text)
    except TooMuch:
        raise InvalidArgument(f"The {name} cannot be read: it takes too much time or memory.") from None
    except ValueError as error:
        raise InvalidArgument(f"The {name} cannot be read: {error}.") from None
    return document


def look(program: Path, folder: Path) -> Any:
    """What one of our programs, which needs no more than Python, says of a folder. Raises TooMuch."""
    try:
        return _answer(_FILE, (str(program), str(folder)), "")
    except ValueError as error:
        raise TooMuch(str(error)) from None


def limited_module(name: str) -> list[str]:
    """The beginning of an argument list that runs a Python module with bounded time and memory."""
    return [sys.executable, "-Ic", _MODULE, name]


def _answer(code: str, arguments: tuple[str, ...], given: str) -> Any:
    """The JSON that a program prints. Raises TooMuch, and ValueError with the last line of its complaint."""
    try:
        done = subprocess.run(
            [sys.executable, "-Ic", code, *arguments], input=given, env={}, capture_output=True,
            encoding="utf-8", errors="replace", timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TooMuch(f"longer than {PATIENCE_S} s") from None
    if done.returncode == 0:
        return json.loads(done.stdout)
    complaint = done.stderr.strip().rpartition("\n")[2]
    if done.returncode < 0 or complaint.startswith(("MemoryError", "RecursionError")):
        raise TooMuch(complaint or f"signal {-done.returncode}")
    raise ValueError(complaint.partition(": ")[2].rstrip(".")[:300] or complaint[:300])
