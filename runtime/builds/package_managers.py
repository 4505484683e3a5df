"""Which of npm, yarn and pnpm installs a Node source's packages, in which version: the one that wrote its lock file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from micro.errors import InvalidArgument

from . import manifests

LOCKS = (
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
)
OWN_SETTINGS = {
    "npm": (".npmrc",),
    "pnpm": (".npmrc", "pnpm-workspace.yaml"),
    "yarn": (".npmrc", ".yarnrc", ".yarnrc.yml"),
}
# By the first number of a lock file's version: the last release that writes it so, for another would change the file.
# Those of pnpm 5 to 7 are read by 7, the oldest that runs on Node 20.
PNPM_OF_LOCK = {"5": "7.33.7", "6": "8.15.9", "9": "9.15.9"}
YARN_OF_LOCK = {"4": "2.4.1", "5": "3.1.1", "6": "3.8.7", "8": "4.12.0", "9": "4.14.1", "10": "4.18.1"}
CLASSIC_YARN, NEWEST_PNPM = "1.22.22", "9.15.9"

_NAMED = re.compile(r"(npm|pnpm|yarn)@(\d+\.\d+\.\d+(?:-[A-Za-z0-9.-]+)?)(?:\+[A-Za-z0-9.=/+_-]+)?")
_HEAD_BYTES = 1 << 12
# Plug'n'Play would need its own loader at every start; and a release in the source is not there yet when this runs.
_YARN_SETTINGS = "YARN_NODE_LINKER=node-modules YARN_IGNORE_PATH=1 YARN_ENABLE_TELEMETRY=0"


@dataclass(frozen=True, slots=True)
class Manager:
    """A program that installs packages. `version` is blank for the npm that is there; `lock` where there is no file."""

    tool: str
    version: str = ""
    lock: str = ""

    @property
    def is_classic_yarn(self) -> bool:
        """Yarn 1, whose options and package are not those of its successors."""
        return self.tool == "yarn" and self.version.startswith("1.")

    @property
    def program(self) -> str:
        """What is typed to run it. npx takes it from the registry that the packages come from, and keeps it."""
        if self.tool == "npm":
            return "npm"
        package = "@yarnpkg/cli-dist" if self.tool == "yarn" and not self.is_classic_yarn else self.tool
        return f"npx --yes {package}@{self.version}"

    def install(self, *, has_tools: bool) -> str:
        """The shell line that installs, exactly as locked where there is a lock; with `has_tools` also what builds."""
        if self.is_classic_yarn:
            locked = "--frozen-lockfile " if self.lock else ""
            return f"{self.program} install {locked}--non-interactive --production={str(not has_tools).lower()}"
        if self.tool == "yarn":
            return f"{_YARN_SETTINGS} {self.program} install {'--' if self.lock else '--no-'}immutable"
        if self.tool == "pnpm":
            locked = "--frozen-lockfile" if self.lock else "--no-frozen-lockfile"
            return f"{self.program} install {locked} --prod{'=false' if has_tools else ''}"
        verb = "ci" if self.lock else "install"
        return f"npm {verb} --no-audit --no-fund --{'include' if has_tools else 'omit'}=dev"

    def prune(self) -> tuple[str, ...]:
        """The shell line that takes away what only building needed, where the program can."""
        if self.tool == "npm":
            return ("npm prune --omit=dev --no-audit --no-fund",)
        return (f"{self.program} prune --prod",) if self.tool == "pnpm" else ()


def chosen(folder: Path, package: dict[str, object]) -> Manager:
    """The one that `packageManager` names, else the one that wrote the lock file, else npm.

    Raises InvalidArgument when either cannot be understood.
    """
    named = package.get("packageManager")
    tool, version = _named(named) if named else ("", "")
    found = [(lock, of) for lock, of in LOCKS if (folder / lock).is_file() and (not tool or of == tool)]
    lock, tool = found[0] if found else ("", tool or "npm")
    if tool == "npm":
        return Manager("npm", lock=lock)
    return Manager(tool, version or _version_of_lock(folder, tool, lock), lock)


def _named(named: object) -> tuple[str, str]:
    if isinstance(named, str) and named.partition("@")[0] not in {"npm", "pnpm", "yarn"}:
        return "", ""  # bun and its like: npm reads the same package.json
    match = _NAMED.fullmatch(named) if isinstance(named, str) else None
    if match is None:
        raise InvalidArgument(
            f"The packageManager of the package.json is {str(named)[:60]!r}: "
            "write it like `yarn@4.5.0` or leave it out."
        )
    return match[1], match[2]


def _version_of_lock(folder: Path, tool: str, lock: str) -> str:
    head = _head(folder, lock) if lock else ""
    if tool == "pnpm":
        written = _first(r"^lockfileVersion:\s*['\"]?(\d+)", head)
        return _known(PNPM_OF_LOCK, written, lock, "pnpm") if written else NEWEST_PNPM
    written = _first(r"^__metadata:\s*\n\s+version:\s*['\"]?(\d+)", head)
    if written:
        return _release(folder) or _known(YARN_OF_LOCK, written, lock, "yarn")
    return CLASSIC_YARN


def _known(versions: dict[str, str], written: str, lock: str, tool: str) -> str:
    if written not in versions:
        raise InvalidArgument(
            f"The {lock} has version {written}, and which {tool} wrote it is not known: name it in the package.json, "
            f'such as `"packageManager": "{tool}@{list(versions.values())[-1]}"`.'
        )
    return versions[written]


def _release(folder: Path) -> str:
    """The version of yarn that a .yarnrc.yml has as a file of the source."""
    return _first(r"^yarnPath:.*/yarn-(\d+\.\d+\.\d+)\.c?js", _head(folder, ".yarnrc.yml"))


def _head(folder: Path, name: str) -> str:
    path = folder / name
    is_there = manifests.is_within(path, folder)
    return manifests.beginning(path, _HEAD_BYTES).decode(errors="replace") if is_there else ""


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""
