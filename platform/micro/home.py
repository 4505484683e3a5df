"""What this user's machine knows: `~/.micro/config.json`, the environments in it, and which server a call goes to.

The file's format is Micro 3's: a JSON tree addressed by dotted paths, with strings as leaves.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_NAMESPACE = "micro"


def folder() -> Path:
    """`~/.micro`. It is made when something is written to it: who only reads may have no home at all."""
    path = Path.home() / ".micro"
    if path.is_file():
        _adopt_old_file(path)
    return path


def _adopt_old_file(path: Path) -> None:
    """Before there was a folder, `~/.micro` itself was the config file."""
    old = path.with_name(".micro.old")
    path.rename(old)
    path.mkdir(mode=0o700)
    old.rename(path / "config.json")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time changes `path`. Its folder is made with mode 0700 when it is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step; nobody else may read it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


class Config:
    """The config file. Reads always see what is on disk."""

    def __init__(self, path: str | Path | None = None) -> None:
        chosen = path or os.environ.get("MICRO_CONFIG_FILE")
        self.path = Path(chosen) if chosen else folder() / "config.json"

    def get(self, key: str) -> str:
        """The value under a dotted path; a subtree as JSON; blank when there is none."""
        found: Any = self._read()
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            return ""
        return found.strip() if isinstance(found, str) else json.dumps(found)

    def set(self, key: str, value: str) -> None:
        *parents, last = key.split(".")
        with locked(self.path):
            tree = self._read()
            branch = tree
            for part in parents:
                if not isinstance(branch.get(part), dict):
                    branch[part] = {}
                branch = branch[part]
            branch[last] = value
            write_private(self.path, json.dumps(tree))

    def _read(self) -> dict[str, Any]:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return {"env": "local"}
        try:
            tree = json.loads(text or "{}")
        except ValueError:
            tree = None
        if not isinstance(tree, dict):
            from .errors import InvalidArgument

            raise InvalidArgument(f"{self.path} is not valid JSON; mend or remove it.")
        return tree


@dataclass(frozen=True, slots=True)
class Environment:
    """A server somebody may talk to: its name here, and the address of its proxy."""

    name: str
    address: str
    description: str = ""


BUILT_IN = (
    Environment("local", "127.0.0.1:8081", "Local running micro server"),
    Environment("dev", "proxy.m3o.dev", "Cloud hosted development environment"),
    Environment("platform", "proxy.m3o.com", "Cloud hosted production environment"),
)


def environments(config: Config) -> dict[str, Environment]:
    """By name: the built-in ones first, which win over saved ones of the same name, then the others in order."""
    known = {environment.name: environment for environment in BUILT_IN}
    for name, saved in sorted(json.loads(config.get("envs") or "{}").items()):
        known.setdefault(name, Environment(name, saved.get("ProxyAddress", ""), saved.get("Description", "")))
    return known


def save_environments(config: Config, known: dict[str, Environment]) -> None:
    built_in = {environment.name for environment in BUILT_IN}
    saved = {
        name: {"Name": name, "ProxyAddress": environment.address, "Description": environment.description}
        for name, environment in known.items()
        if name not in built_in
    }
    config.set("envs", json.dumps(saved))


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls go: an environment, its proxy's address, a namespace there, and the config file that says so."""

    environment: str
    address: str
    namespace: str
    config: Config


def target(
    *, environment: str = "", address: str = "", namespace: str = "", config_file: str | Path | None = None
) -> Target:
    """What was asked for, else what the environment variables say, else what the config file says.

    Raises NotFound for an environment nobody knows.
    """
    config = Config(config_file)
    name = environment or os.environ.get("MICRO_ENV") or config.get("env") or "local"
    address = address or os.environ.get("MICRO_PROXY", "") or _environment(config, name).address
    namespace = (
        namespace or os.environ.get("MICRO_NAMESPACE") or config.get(f"namespaces.{name}.current") or DEFAULT_NAMESPACE
    )
    return Target(name, address, namespace, config)


def _environment(config: Config, name: str) -> Environment:
    known = environments(config)
    if name not in known:
        from .errors import NotFound

        raise NotFound(f'Env "{name}" not found. See `micro env` for available environments.')
    return known[name]
