"""Reading a Node source: how its packages are installed, whether it is built, and what starts it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from micro.errors import InvalidArgument

MANIFEST = "package.json"
YARN, PNPM = "yarn@1.22.22", "pnpm@9"
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
        package = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"The package.json cannot be read: {error}.") from None
    if not isinstance(package, dict):
        raise InvalidArgument("The package.json holds no object.")
    scripts = package.get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    line, line_from = _start(folder, package, scripts)
    lock, tool = _lock(folder)
    is_built = bool(scripts.get("build"))
    manifests = tuple(
        name for name in (MANIFEST, lock, ".npmrc", ".yarnrc", "pnpm-workspace.yaml") if _is_in(folder, name)
    )
    needs_sources = "workspaces" in package or any(
        scripts.get(name) for name in ("preinstall", "install", "postinstall", "prepare")
    )
    return Package(
        lock=lock,
        manifests=() if needs_sources or _names_folders(package) else manifests,
        install=(_install(tool, lock, has_tools=is_built),),
        build=_build(tool) if is_built else (),
        line=line,
        line_from=line_from,
    )


def _is_in(folder: Path, name: str) -> bool:
    return bool(name) and (folder / name).is_file()


def _start(folder: Path, package: dict[str, object], scripts: dict[str, object]) -> tuple[str, str]:
    if scripts.get("start"):
        return "exec npm start", "package.json, scripts.start"
    main = package.get("main")
    if (
        isinstance(main, str)
        and (folder / main).is_file()
        and main.replace("/", "").replace(".", "").replace("-", "").replace("_", "").isalnum()
    ):
        return f"exec node {main}", "package.json, main"
    found = next((name for name in _MAINS if (folder / name).is_file()), "")
    return (f"exec node {found}", found) if found else ("", "")


def _lock(folder: Path) -> tuple[str, str]:
    """The lock file and the program that reads it."""
    known = (
        ("package-lock.json", "npm"),
        ("npm-shrinkwrap.json", "npm"),
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
    )
    return next((pair for pair in known if (folder / pair[0]).is_file()), ("", "npm"))


def _install(tool: str, lock: str, *, has_tools: bool) -> str:
    """What installs the packages, exactly as locked where there is a lock; those for building only when it is built."""
    if tool == "yarn":
        return f"npx --yes {YARN} install --frozen-lockfile --non-interactive --production={str(not has_tools).lower()}"
    if tool == "pnpm":
        return f"npx --yes {PNPM} install --frozen-lockfile --prod{'=false' if has_tools else ''}"
    return f"npm {'ci' if lock else 'install'} --no-audit --no-fund --{'include' if has_tools else 'omit'}=dev"


def _build(tool: str) -> tuple[str, ...]:
    prune = {"npm": ("npm prune --omit=dev --no-audit --no-fund",), "pnpm": (f"npx --yes {PNPM} prune --prod",)}
    return ("npm run build", *prune.get(tool, ()))


def _names_folders(package: dict[str, object]) -> bool:
    """Whether a dependency is a folder or an archive of the source itself."""
    kinds = ("dependencies", "devDependencies", "optionalDependencies")
    listed = [package.get(kind) for kind in kinds]
    wanted = [str(value) for kind in listed if isinstance(kind, dict) for value in kind.values()]
    return any(value.startswith(("file:", "link:", "workspace:", ".", "/")) for value in wanted)
