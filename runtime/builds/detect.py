"""From a folder to a plan: Dockerfile, Procfile, Go, Python, Node, static. Reads files, runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from micro.errors import InvalidArgument

from . import go, manifests, node, procfile, python, requirements
from .plans import DOCKERFILE, Plan

LOOKED_FOR = (
    "Dockerfile",
    "Procfile",
    "go.mod",
    "requirements.txt",
    "pyproject.toml",
    "a WSGI or ASGI object in app.py or its like",
    "main.py",
    "package.json",
    "index.html",
)
SITES = ("", "public", "dist", "site", "docs")


def detect(folder: Path, *, command: str = "", with_images: bool = False) -> Plan:
    """What to do with `folder`; `command`, when given, is the shell line to start.

    A Dockerfile counts only `with_images`. Raises InvalidArgument when nothing in the folder can be run, saying what
    was looked for.
    """
    has_dockerfile = (folder / DOCKERFILE).is_file()
    if has_dockerfile and with_images:
        return Plan(DOCKERFILE, DOCKERFILE, command, "the request" if command else DOCKERFILE)
    start = _given(command) or _procfile(folder)
    found = list(_toolchains(folder, with_sites=not (has_dockerfile or start)))
    toolchain = next((plan for plan in found if start or plan.line), None) or (
        Plan("Python", "", "", "") if start else None
    )
    if toolchain is None:
        raise InvalidArgument(_nothing_to_run(folder, found, with_images=with_images))
    plan = _started(toolchain, start) if start else toolchain
    left_out = (
        ("The Dockerfile is left out: it needs the Docker backend (MICRO_BACKEND=docker).",) if has_dockerfile else ()
    )
    return replace(plan, notes=(*plan.notes, *left_out))


def _toolchains(folder: Path, *, with_sites: bool) -> Iterator[Plan]:
    """What the files say. Beside a Dockerfile or a command an index.html is only a part of what is served."""
    for read in (_go, _python, _node, *((_static,) if with_sites else ())):
        if plan := read(folder):
            yield plan


def _started(toolchain: Plan, start: Plan) -> Plan:
    """The toolchain's plan with another start command."""
    # A framework service under `web:` speaks gRPC all the same: let its first start tell.
    is_open = toolchain.wants_micro
    return replace(
        toolchain,
        evidence=_joined(start.evidence, toolchain.dependencies and _shown(toolchain.dependencies))
        or toolchain.evidence,
        line=start.line,
        line_from=start.line_from,
        protocol="" if is_open and start.protocol == "http" else start.protocol,
        server="",
        notes=(*toolchain.notes, *start.notes),
    )


def _joined(*names: str) -> str:
    return ", ".join(dict.fromkeys(filter(None, names)))


def _given(command: str) -> Plan | None:
    return Plan("", "", command, "the request") if command else None


def _procfile(folder: Path) -> Plan | None:
    if not (folder / "Procfile").is_file():
        return None
    process = procfile.read(manifests.read(folder, "Procfile"))
    notes = (f"Not started from the Procfile: {', '.join(process.others)}.",) if process.others else ()
    return Plan("", "Procfile", process.line, f"Procfile, {process.type}", process.protocol, notes=notes)


def _go(folder: Path) -> Plan | None:
    if (module := go.read(folder)) is None:
        return None
    return Plan(
        "Go",
        go.MANIFEST,
        f"exec bin/{module.program}",
        f"the package {module.package}",
        dependencies=go.MANIFEST,
        manifests=module.manifests,
        install=module.install,
        build=module.build,
        ahead=module.ahead,
        tools=("go",),
        notes=module.notes,
    )


def _node(folder: Path) -> Plan | None:
    if (package := node.read(folder)) is None:
        return None
    return Plan(
        "Node",
        node.MANIFEST,
        package.line,
        package.line_from,
        dependencies=package.lock or node.MANIFEST,
        manifests=package.manifests,
        install=package.install,
        build=package.build,
        tools=("node", "npm"),
    )


def _static(folder: Path) -> Plan | None:
    inside = [site for site in SITES if (folder / site).resolve().is_relative_to(folder.resolve())]
    site = next((site for site in inside if (folder / site / "index.html").is_file()), None)
    if site is None:
        return None
    return Plan("static", f"{site}/index.html".lstrip("/"), "nginx", "the platform", "http", folder=site)


def _python(folder: Path) -> Plan | None:
    found, dependencies = _look_at_python(folder), _dependencies(folder)
    plan = _application(found) or _script(folder)
    if plan is None:
        if not (dependencies or found.uses_micro):
            return None
        plan = Plan("Python", "", "", "")
    return replace(
        plan,
        evidence=_joined(plan.evidence, _shown(dependencies)),
        dependencies=dependencies,
        manifests=requirements.files(folder) if dependencies == requirements.NAME else (),
        wants_micro=found.uses_micro or _names_micro(folder),
    )


def listed_dependencies(folder: Path) -> list[str] | None:
    """The dependencies that a pyproject.toml lists; None when it leaves them to its build."""
    project = _pyproject(folder).get("project")
    if not isinstance(project, dict) or "dependencies" in project.get("dynamic", []):
        return None
    return [line for line in map(str, project.get("dependencies", [])) if line.isprintable()]


def _look_at_python(folder: Path) -> python.Findings:
    """What the Python files say; those that take too much to read say nothing."""
    if next(python.sources(folder), None) is None:
        return python.Findings()
    try:
        return python.Findings.of(manifests.look(Path(python.__file__), folder))
    except manifests.TooMuch:
        return python.Findings()


def _application(found: python.Findings) -> Plan | None:
    if found.uses_micro and found.main_uses_micro:
        return Plan("Python", "main.py", "exec python main.py", "main.py, which uses micro", "grpc")
    if one := found.application:
        name = f"{one.kind.upper()} object {one.target}"
        return Plan("Python", one.file, one.line, name, "http", server=one.server)
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
    return manifests.read_toml(folder, "pyproject.toml") if (folder / "pyproject.toml").is_file() else {}


def _shown(dependencies: str) -> str:
    return "pyproject.toml" if dependencies == "." else dependencies


def _names_micro(folder: Path) -> bool:
    """Whether the requirements ask for micro themselves."""
    text = manifests.read(folder, requirements.NAME) if (folder / requirements.NAME).is_file() else ""
    project = _pyproject(folder).get("project")
    listed = project.get("dependencies", []) if isinstance(project, dict) else []
    lines = [*text.splitlines(), *map(str, listed)]
    return any(re.match(r"micro\s*($|[\[=<>~!;@#])", line.strip(), re.IGNORECASE) for line in lines)


def _nothing_to_run(folder: Path, found: list[Plan], *, with_images: bool) -> str:
    looked_for = LOOKED_FOR if with_images else LOOKED_FOR[1:]
    sentence = f"There is nothing to run: looked for {', '.join(looked_for)}."
    if (folder / DOCKERFILE).exists() and not with_images:
        sentence += " Found a Dockerfile, which needs the Docker backend: start the server with MICRO_BACKEND=docker."
    if found:
        way = "say it by scripts.start" if found[0].language == "Node" else "add a Procfile with `web: …`"
        sentence += f" {_shown(found[0].dependencies)} says what to install but not what to start; {way}."
    return sentence
