"""Reading a requirements.txt: which files it is made of, and whether it installs files of the source itself."""

from __future__ import annotations

import re
from pathlib import Path

from . import manifests

NAME = "requirements.txt"
MOST_FILES = 20

_INCLUDED = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]?\s*(\S+)")
_LOCAL = ("-e", "--editable", "-f", "--find-links", ".", "/")


def files(folder: Path) -> tuple[str, ...]:
    """The requirements.txt and the files that it includes, by their paths; none when it needs more of the source."""
    found: list[str] = []
    return tuple(found) if _collect(folder, NAME, found) else ()


def _collect(folder: Path, name: str, found: list[str]) -> bool:
    """Add a file and those that it includes; False when one is not there, elsewhere, or names files of the source."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file() or len(found) >= MOST_FILES:
        return False
    if name in found:
        return True
    found.append(name)
    lines = [line.strip() for line in manifests.read(folder, name).splitlines()]
    return all(_is_known(folder, Path(name).parent, line, found) for line in lines)


def _is_known(folder: Path, beside: Path, line: str, found: list[str]) -> bool:
    if match := _INCLUDED.match(line):
        name = (beside / match[1].strip("\"'")).as_posix()
        return ".." not in Path(name).parts and _collect(folder, name, found)
    is_path = "/" in line.partition(";")[0] and "://" not in line and not line.startswith(("-", "#"))
    return not (line.startswith(_LOCAL) or "file:" in line or is_path)
