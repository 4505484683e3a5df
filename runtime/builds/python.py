"""Reading Python sources: whether they use micro, and where their WSGI or ASGI object is. Parsed, never imported.

This file is a program, too, which needs Python and nothing of ours: it runs in a process with bounded memory and time.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

MODULES = ("main", "app", "application", "wsgi", "asgi", "server", "api", "app.main", "app", "src.main")
NAMES = ("app", "application", "api")
FACTORIES = ("create_app", "make_app")
ASGI = {"FastAPI", "Starlette", "Quart", "Litestar", "get_asgi_application"}
WSGI = {"Flask", "Bottle", "default_app", "get_wsgi_application", "APIFlask"}
MOST_FILES = 300
LARGEST_BYTES = 1 << 20

_SKIPPED = {".git", ".venv", "venv", "node_modules", "__pycache__", "tests", "test"}


@dataclass(frozen=True, slots=True)
class Application:
    """A WSGI or ASGI object: `module:name`."""

    kind: str
    target: str
    file: str
    is_factory: bool = False

    @property
    def server(self) -> str:
        """The program that serves it."""
        return "gunicorn" if self.kind == "wsgi" else "uvicorn"

    @property
    def line(self) -> str:
        """The shell line that serves it on loopback at $PORT."""
        if self.kind == "wsgi":
            return f"exec gunicorn --bind 127.0.0.1:$PORT --threads 8 '{self.target}{'()' if self.is_factory else ''}'"
        return f"exec uvicorn --host 127.0.0.1 --port $PORT {'--factory ' if self.is_factory else ''}{self.target}"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a folder's Python files say: whether any of them, and main.py itself, imports micro, and what is served."""

    uses_micro: bool = False
    main_uses_micro: bool = False
    application: Application | None = None

    @classmethod
    def of(cls, document: dict[str, Any]) -> Findings:
        """The findings that this program has printed."""
        application = document.pop("application")
        return cls(**document, application=Application(**application) if application else None)


def find(folder: Path) -> Findings:
    """Look at a folder's Python files. A parser may need far more time and memory for them than they are large."""
    main = parse(folder / "main.py", folder)
    return Findings(
        uses_micro=uses(folder, "micro"),
        main_uses_micro=main is not None and imports(main, "micro"),
        application=find_application(folder),
    )


def parse(path: Path, folder: Path, *, mentioning: str = "") -> ast.Module | None:
    """The module's syntax tree; None when there is no such file, it cannot be read as Python or mentions no such word.

    A link that leads out of the folder is no file of it.
    """
    try:
        if not path.resolve().is_relative_to(folder.resolve()) or path.stat().st_size > LARGEST_BYTES:
            return None
        content = path.read_bytes()
        return ast.parse(content) if mentioning.encode() in content else None
    except (OSError, SyntaxError, ValueError, RuntimeError, MemoryError):  # the parser's own stack runs out of memory
        return None


def imports(tree: ast.Module, package: str) -> bool:
    """Whether the module imports `package` anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == package for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == package:
            return True
    return False


def sources(folder: Path) -> Iterator[Path]:
    """The folder's Python files, nearest first, without environments and tests."""
    found = (path for path in sorted(folder.rglob("*.py"), key=lambda path: (len(path.parts), path)))
    own = (path for path in found if not _SKIPPED & set(path.relative_to(folder).parts))
    return islice(own, MOST_FILES)


def uses(folder: Path, package: str) -> bool:
    """Whether any file of the folder imports `package`, unless the folder has a module of that name itself."""
    if (folder / package).is_dir() or (folder / f"{package}.py").exists():
        return False
    trees = (parse(path, folder, mentioning=package) for path in sources(folder))
    return any(imports(tree, package) for tree in trees if tree)


def find_application(folder: Path) -> Application | None:
    """The first WSGI or ASGI object in the usual places."""
    for module in MODULES:
        stem = folder / Path(*module.split("."))
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if (tree := parse(path, folder)) and (found := _in_module(tree, module, str(path.relative_to(folder)))):
                return found
    return _django(folder)


def _in_module(tree: ast.Module, module: str, file: str) -> Application | None:
    for node in tree.body:
        name, kind = _object(node)
        if kind:
            return Application(kind, f"{module}:{name}", file)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in FACTORIES and (kind := _made_in(node)):
            return Application(kind, f"{module}:{node.name}", file, is_factory=True)
    return _by_file_name(tree, module, file)


def _object(node: ast.stmt) -> tuple[str, str]:
    """The name and kind of the application that a statement of the module makes; blanks when it makes none."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        name = next((target.id for target in targets if isinstance(target, ast.Name) and target.id in NAMES), "")
        return name, _kind_of_call(node.value) if name else ""
    if isinstance(node, ast.AsyncFunctionDef) and node.name in NAMES and len(node.args.args) == 3:
        return node.name, "asgi"
    if isinstance(node, ast.FunctionDef) and node.name in NAMES and len(node.args.args) == 2:
        return node.name, "wsgi"
    return "", ""


def _kind_of_call(value: ast.expr | None) -> str:
    if not isinstance(value, ast.Call):
        return ""
    dotted = _dotted(value.func)
    last = dotted.rpartition(".")[2]
    if last in ASGI or dotted in {"falcon.asgi.App"}:
        return "asgi"
    return "wsgi" if last in WSGI or dotted in {"falcon.App", "falcon.API"} else ""


def _dotted(expression: ast.expr) -> str:
    """A name with its dots; blank for every other expression."""
    parts = []
    while isinstance(expression, ast.Attribute):
        parts.append(expression.attr)
        expression = expression.value
    return ".".join(reversed([*parts, expression.id])) if isinstance(expression, ast.Name) else ""


def _made_in(function: ast.FunctionDef) -> str:
    if len(function.args.args) > len(function.args.defaults):
        return ""
    kinds = (_kind_of_call(node) for node in ast.walk(function) if isinstance(node, ast.Call))
    return next((kind for kind in kinds if kind), "")


def _by_file_name(tree: ast.Module, module: str, file: str) -> Application | None:
    """`wsgi.py` and `asgi.py` say by their name what their `application` or `app` is."""
    if module not in {"wsgi", "asgi"}:
        return None
    for node in tree.body:
        names = {alias.asname or alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        if isinstance(node, ast.Assign):
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        if name := next((name for name in NAMES if name in names), None):
            return Application(module, f"{module}:{name}", file)
    return None


def _django(folder: Path) -> Application | None:
    """The WSGI module beside the settings that manage.py names."""
    path = folder / "manage.py"
    try:
        is_there = path.resolve().is_relative_to(folder.resolve()) and path.stat().st_size <= LARGEST_BYTES
        text = path.read_text(errors="replace") if is_there else ""
    except (OSError, RuntimeError):
        return None
    match = re.search(r"DJANGO_SETTINGS_MODULE[\"'],\s*[\"']([A-Za-z0-9_.]+)[\"']", text)
    package = match[1].split(".")[0] if match else ""
    for kind in ("wsgi", "asgi"):
        if package and (folder / package / f"{kind}.py").exists():
            return Application(kind, f"{package}.{kind}:application", "manage.py")
    return None


if __name__ == "__main__":
    json.dump(asdict(find(Path(sys.argv[1]))), sys.stdout)
