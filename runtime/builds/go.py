"""Reading a Go source: which package is the program, and what must be there before its modules are fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from micro.errors import InvalidArgument

from . import manifests

MANIFEST = "go.mod"
MOST_FILES = 500
MOST_PACKAGES = 200
IMPORTS = re.compile(r"^import\s*(?:\((.*?)^\s*\)|([^(\n]*))", re.MULTILINE | re.DOTALL)
IMPORTED = re.compile(r'^\s*(?:[\w.]+\s+)?"([A-Za-z0-9][\w./~-]*)"', re.MULTILINE)
UNLOCKED = "There is no go.sum: modules are not checked against sums; `go mod tidy` writes one."


@dataclass(frozen=True, slots=True)
class Module:
    """What a go.mod and the files beside it say. `program` is the name of the built file, in `bin`."""

    program: str
    package: str
    manifests: tuple[str, ...]
    install: tuple[str, ...]
    build: tuple[str, ...]
    ahead: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read(folder: Path) -> Module | None:
    """The module of a folder; None when it has no go.mod.

    Raises InvalidArgument when no package in it is a program, or more than one is and none has the usual place.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    text = manifests.read(folder, MANIFEST)
    package = _program(folder)
    name = _name(text)
    is_vendored = (folder / "vendor" / "modules.txt").is_file()
    is_local = bool(re.search(r"=>\s*\.{0,2}/", text))
    listed = tuple(file for file in (MANIFEST, "go.sum") if (folder / file).is_file())
    is_unlocked = not (is_vendored or (folder / "go.sum").is_file() or (folder / "go.work").is_file())
    finding = "-mod=mod " if is_unlocked else ""  # takes what is imported, whether or not it is listed
    return Module(
        program=name,
        package=package,
        manifests=() if is_vendored or is_local else listed,
        install=() if is_vendored else ("go mod download",),
        build=(f"go build {finding}-trimpath -o bin/{name} {package}",),
        ahead=_ahead(folder, text, with_modules=not is_unlocked),
        notes=(UNLOCKED,) if is_unlocked and "require" in text else (),
    )


def _ahead(folder: Path, text: str, *, with_modules: bool) -> tuple[str, ...]:
    """A line that compiles what others wrote, for a layer that stays while only the sources change.

    That it fails says nothing: the build itself says why.
    """
    own = _path(text)
    files = (path for path in islice(folder.rglob("*.go"), MOST_FILES) if _is_own(path, folder))
    found = {name for path in files if not path.name.endswith("_test.go") for name in _imports(_head(path))}
    others = sorted(name for name in found if name not in {"C", own} and not name.startswith(f"{own}/"))
    wanted = [name for name in others if with_modules or "." not in name.partition("/")[0]]
    return (f"go build -trimpath {' '.join(wanted[:MOST_PACKAGES])} 2>/dev/null || true",) if wanted else ()


def _imports(source: str) -> Iterator[str]:
    for block, line in IMPORTS.findall(source):
        yield from IMPORTED.findall(block or line)


def _path(text: str) -> str:
    match = re.search(r"^module\s+\"?([^\s\"]+)", text, re.MULTILINE)
    return match[1] if match else ""


def _name(text: str) -> str:
    """The last word of the module's path that is no major version."""
    words = [word for word in _path(text).split("/") if not re.fullmatch(r"v\d+", word)]
    return re.sub(r"[^A-Za-z0-9._-]", "-", words[-1]).lstrip("-.") if words and words[-1].strip("-.") else "app"


def _program(folder: Path) -> str:
    """The package to build: the root when it is a program, else the only one below."""
    if _is_program(folder):
        return "."
    found = sorted({path.parent for path in islice(folder.rglob("*.go"), MOST_FILES) if _is_own(path, folder)})
    programs = [path.relative_to(folder).as_posix() for path in found if _is_program(path)]
    programs = [path for path in programs if re.fullmatch(r"[A-Za-z0-9._/-]+", path)]
    if len(programs) == 1:
        return f"./{programs[0]}"
    shown = f"more than one: {', '.join(programs[:5])}" if programs else "none"
    raise InvalidArgument(f"A Go service needs one package main, in the root or below; found {shown}.")


def _is_own(path: Path, folder: Path) -> bool:
    return manifests.is_within(path, folder) and not {"vendor", "testdata", ".git"} & set(
        path.relative_to(folder).parts
    )


def _is_program(folder: Path) -> bool:
    files = [
        path for path in folder.glob("*.go") if not path.name.endswith("_test.go") and manifests.is_within(path, folder)
    ]
    return any(re.search(r"^package\s+main\b", _head(path), re.MULTILINE) for path in files)


def _head(path: Path) -> str:
    return manifests.beginning(path, 1 << 16).decode(errors="replace")
