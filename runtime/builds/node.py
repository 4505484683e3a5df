"""Reading a Node source: how its packages are installed, whether it is built, and what starts it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from micro.errors import InvalidArgument

from . import manifests, package_managers

MANIFEST = "package.json"
_MAINS = ("server.js", "index.js", "app.js", "main.js")


@dataclass(frozen=True, slots=True)
class Package:
    """What a package.json says. `line` is blank when nothing in it can be started."""

    lock: str
    manifests: tuple[str, ...]
    install: tuple[str, ...]
    build: tuple[str, ...]
    line: str
    line_from: str


def read(folder: Path) -> Package | None:
    """The package of a folder; None when it has no package.json. Raises InvalidArgument when that cannot be read."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        package = json.loads(manifests.read(folder, MANIFEST))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"The package.json cannot be read: {error}.") from None
    if not isinstance(package, dict):
        raise InvalidArgument("The package.json holds no object.")
    scripts = package.get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    line, line_from = _start(folder, package, scripts)
    manager = package_managers.chosen(folder, package)
    is_built = bool(scripts.get("build"))
    return Package(
        lock=manager.lock,
        manifests=() if _needs_sources(folder, package, scripts) else _manifests(folder, manager),
        install=(manager.install(has_tools=is_built),),
        build=("npm run build", *manager.prune()) if is_built else (),
        line=line,
        line_from=line_from,
    )


def _manifests(folder: Path, manager: package_managers.Manager) -> tuple[str, ...]:
    names = (MANIFEST, manager.lock, *package_managers.OWN_SETTINGS[manager.tool])
    return tuple(name for name in names if _is_in(folder, name))


def _needs_sources(folder: Path, package: dict[str, object], scripts: dict[str, object]) -> bool:
    """Whether installing needs more of the source than its manifests."""
    hooks = ("preinstall", "install", "postinstall", "prepare")
    has_own = any((folder / ".yarn" / name).exists() for name in ("patches", "plugins", "cache"))
    return "workspaces" in package or any(scripts.get(name) for name in hooks) or _names_folders(package) or has_own


def _is_in(folder: Path, name: str) -> bool:
    return bool(name) and (folder / name).is_file()


def _start(folder: Path, package: dict[str, object], scripts: dict[str, object]) -> tuple[str, str]:
    if scripts.get("start"):
        return "exec npm start", "package.json, scripts.start"
    main = package.get("main")
    if (
        isinstance(main, str)
        and ((folder / main).is_file() or scripts.get("build"))  # the build may make it
        and main.replace("/", "").replace(".", "").replace("-", "").replace("_", "").isalnum()
    ):
        return f"exec node {main}", "package.json, main"
    found = next((name for name in _MAINS if (folder / name).is_file()), "")
    return (f"exec node {found}", found) if found else ("", "")


def _names_folders(package: dict[str, object]) -> bool:
    """Whether a dependency is a folder or an archive of the source itself."""
    kinds = ("dependencies", "devDependencies", "optionalDependencies")
    listed = [package.get(kind) for kind in kinds]
    wanted = [str(value) for kind in listed if isinstance(kind, dict) for value in kind.values()]
    return any(value.startswith(("file:", "link:", "portal:", "patch:", "workspace:", ".", "/")) for value in wanted)
