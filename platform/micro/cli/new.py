"""`micro new`: a service to begin with."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from .commands import Command
from .failures import Failure

TESTS = {"go": "go test ./...", "node": "npm install && npm test"}


@click.command(cls=Command)
@click.argument("name", required=False, default="", metavar="NAME")
@click.option(
    "--lang", type=click.Choice(["python", "go", "node"]), default="python", help="python (the default), go or node."
)
def new(name: str, lang: str) -> None:
    """Make the folder of a new service, which runs, is tested and deploys as it stands.

    python is a class of the micro framework; go and node are gRPC services on the languages' own libraries, with
    reflection, so that their methods are commands, too.
    """
    from .scaffolding import scaffold

    folder = _folder(name)
    files = scaffold(folder.name, lang)
    click.echo(f"Creating service {folder.name}\n")
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    click.echo("\n".join([".", *_tree(files), ""]))
    click.echo("\n".join(_next_steps(folder, lang)))


def _folder(name: str) -> Path:
    """Where the service goes. Raises Failure unless a service may have that name and nothing is there."""
    from .source import require_name

    if not name:
        raise Failure("specify service name")
    folder = Path(name)
    if folder.is_absolute():
        raise Failure(f"{name} is an absolute path: say a name, or a path below this folder.")
    require_name(folder.name, "", way_out="")
    if folder.exists() or folder.is_symlink():
        raise Failure(f"{folder} already exists")
    return folder


def _tree(paths: Iterable[str], indent: str = "") -> Iterator[str]:
    """Files and folders as `tree` draws them."""
    entries: dict[str, list[str]] = {}
    for path in paths:
        name, _, below = path.partition("/")
        entries.setdefault(name, []).extend([below] if below else [])
    for number, (name, inner) in enumerate(entries.items(), 1):
        is_last = number == len(entries)
        yield f"{indent}{'└── ' if is_last else '├── '}{name}"
        yield from _tree(inner, indent + ("    " if is_last else "│   "))


def _next_steps(folder: Path, lang: str) -> list[str]:
    steps = {
        f"cd {folder}": "",
        TESTS.get(lang) or f"{_python()} -m unittest": "test it",
        "micro run .": "run it",
        f"micro {folder.name} call --name=Joe": "call it",
    }
    width = max(map(len, steps)) + 3
    return [
        "Test it, run it and call it:",
        "",
        *(f"    {step:<{width}}{f'# {why}' if why else ''}".rstrip() for step, why in steps.items()),
    ]


def _python() -> str:
    """A Python that has micro: the one on PATH when it is ours."""
    found = shutil.which("python3")
    return "python3" if found and Path(found).parent == Path(sys.executable).parent else sys.executable
