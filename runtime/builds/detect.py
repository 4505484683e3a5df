"""From a folder to a plan: Procfile, then Python. Reads files, runs nothing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from micro.errors import InvalidArgument

from . import procfile, python
from .plans import Plan

LOOKED_FOR = (
    "Procfile",
    "requirements.txt",
    "pyproject.toml",
    "a WSGI or ASGI object in app.py or its like",
    "main.py",
)
NOT_YET = {
    "Dockerfile": "container images",
    "go.mod": "Go",
    "package.json": "Node",
    "index.html": "static sites",
}


def detect(folder: Path, *, command: str = "") -> Plan:
    """What to do with `folder`; `command`, when given, is the shell line to start.

    Raises InvalidArgument when nothing in it can be run, saying what was looked for.
    """
    micro_used = python.uses(folder, "micro")
    dependencies = _dependencies(folder)
    plan = _given(command) or _procfile(folder, micro_used) or _application(folder, micro_used) or _script(folder)
    if plan is None:
        raise InvalidArgument(_nothing_to_run(folder, dependencies))
    evidence = ", ".join(dict.fromkeys(filter(None, [plan.evidence, _shown(dependencies)])))
    wants_micro = micro_used and not _names_micro(folder)
    return Plan(
        language="Python",
        evidence=evidence,
        line=plan.line,
        line_from=plan.line_from,
        protocol=plan.protocol,
        dependencies=dependencies,
        server=plan.server,
        wants_micro=wants_micro,
        notes=plan.notes,
    )


def _given(command: str) -> Plan | None:
    return Plan("Python", "", command, "the request") if command else None


def _procfile(folder: Path, micro_used: bool) -> Plan | None:
    if not (folder / "Procfile").is_file():
        return None
    process = procfile.read(folder / "Procfile")
    # A framework service under `web:` speaks gRPC all the same: let its first start tell.
    protocol = "" if micro_used and process.type == "web" else process.protocol
    notes = (f"Not started from the Procfile: {', '.join(process.others)}.",) if process.others else ()
    return Plan("Python", "Procfile", process.line, f"Procfile, {process.type}", protocol, notes=notes)


def _application(folder: Path, micro_used: bool) -> Plan | None:
    main = python.parse(folder / "main.py")
    if micro_used and main and python.imports(main, "micro"):
        return Plan("Python", "main.py", "exec python main.py", "main.py, which uses micro", "grpc")
    if found := python.find_application(folder):
        name = f"{found.kind.upper()} object {found.target}"
        return Plan("Python", found.file, found.line, name, "http", server=found.server)
    return None


def _script(folder: Path) -> Plan | None:
    if (folder / "main.py").is_file():
        return Plan("Python", "main.py", "exec python main.py", "main.py")
    return None


def _dependencies(folder: Path) -> str:
    """What uv installs: a file name, "." for the project itself, or blank."""
    if (folder / "requirements.txt").is_file():
        return "requirements.txt"
    project = _pyproject(folder)
    if "project" not in project:
        return ""
    is_package = "build-system" in project or (folder / "src").is_dir()
    return "." if is_package else "pyproject.toml"


def _pyproject(folder: Path) -> dict[str, object]:
    path = folder / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"The pyproject.toml cannot be read: {error}.") from None


def _shown(dependencies: str) -> str:
    return "pyproject.toml" if dependencies == "." else dependencies


def _names_micro(folder: Path) -> bool:
    """Whether the requirements ask for micro themselves."""
    path = folder / "requirements.txt"
    text = path.read_text(errors="replace") if path.is_file() else ""
    project = _pyproject(folder).get("project")
    listed = project.get("dependencies", []) if isinstance(project, dict) else []
    lines = [*text.splitlines(), *map(str, listed)]
    return any(re.match(r"micro\s*($|[\[=<>~!;@#])", line.strip(), re.IGNORECASE) for line in lines)


def _nothing_to_run(folder: Path, dependencies: str) -> str:
    found = [f"{name} ({what})" for name, what in NOT_YET.items() if (folder / name).exists()]
    sentence = f"There is nothing to run: looked for {', '.join(LOOKED_FOR)}."
    if found:
        sentence += f" Found {', '.join(found)}, which this server's process backend does not build."
    if dependencies:
        sentence += f" {_shown(dependencies)} says what to install but not what to start; add a Procfile with `web: …`."
    return sentence
