"""What this user's machine knows: `~/.micro/config.json`, the environments in it, and which server a call goes to.

The file's format is Micro 3's: a JSON tree addressed by dotted paths, with strings as leaves.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from . import errors

DEFAULT_NAMESPACE = "micro"


def folder() -> Path:
    """`~/.micro`. It is made when something is written to it: who only reads may have no home at all.

    Raises FailedPrecondition where nobody can tell where home is.
    """
    from pathlib import Path

    return Path(folder_name())


def folder_name() -> str:
    """`folder` for who only reads in it: pathlib takes a while to import, and most commands go without it."""
    name = os.path.expanduser("~/.micro")  # noqa: PTH111
    if name.startswith("~"):
        from .errors import FailedPrecondition

        raise FailedPrecondition("This user has no home folder: set HOME to a folder for ~/.micro.")
    if os.path.isfile(name):  # noqa: PTH113
        from pathlib import Path

        _adopt_old_file(Path(name))
    return name


def read_text(name: str, *, errors: str = "strict") -> str:
    """What is in a file. Raises FileNotFoundError, and ValueError for what is no text."""
    with open(name, encoding="utf-8", errors=errors) as file:  # noqa: PTH123
        return file.read()


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
    """Replace `path` in one step, or what it links to; nobody else may read it, whatever its mode was before."""
    path = path.resolve()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        error.filename = str(path)
        raise


class Config:
    """The config file. Reads always see what is on disk."""

    def __init__(self, path: str | Path | None = None) -> None:
        chosen = path or os.environ.get("MICRO_CONFIG_FILE")
        self._name = str(chosen or f"{folder_name()}/config.json")

    @property
    def path(self) -> Path:
        from pathlib import Path

        return Path(self._name)

    def get(self, key: str) -> str:
        """The value under a dotted path; a subtree as JSON; blank when there is none."""
        found: Any = self._read()
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            return ""
        return found.strip() if isinstance(found, str) else json.dumps(found, separators=(",", ":"))

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
            tree = json.loads(read_text(self._name) or "{}")
        except FileNotFoundError:
            return {"env": "local"}
        except (ValueError, RecursionError):
            tree = None
        if not isinstance(tree, dict):
            raise self.damaged()
        return tree

    def damaged(self, key: str = "") -> errors.Error:
        """What to raise when the file, or what is under a key of it, cannot be understood."""
        from .errors import InvalidArgument

        where = f" at {key!r}" if key else ""
        return _mistake(InvalidArgument(f"{self.path} is not valid JSON{where}; mend or remove it."))


@dataclass(frozen=True, slots=True)
class Environment:
    """A server somebody may talk to: its name here, and the address of its proxy."""

    name: str
    address: str
    description: str = ""
    ca: str = ""  # the file of an authority that may sign the server's certificate, beside those the system knows


BUILT_IN = (
    Environment("local", "127.0.0.1:8081", "Local running micro server"),
    Environment("platform", "", "Your platform: micro env add platform HOST:PORT"),
)


def environments(config: Config) -> dict[str, Environment]:
    """By name: the built-in ones first, then the others in order. A saved one never hides a built-in address."""
    known = {environment.name: environment for environment in BUILT_IN}
    try:
        entries = sorted(json.loads(config.get("envs") or "{}").items())
        saved = [
            Environment(name, *(str(entry.get(key, "")) for key in ("ProxyAddress", "Description", "CA")))
            for name, entry in entries
        ]
    except (ValueError, AttributeError):
        raise config.damaged("envs") from None
    return known | {each.name: each for each in saved if not (each.name in known and known[each.name].address)}


def save_environments(config: Config, known: dict[str, Environment]) -> None:
    unsaved = {environment.name for environment in BUILT_IN if environment.address}
    saved = {
        name: {"Name": name, "ProxyAddress": environment.address, "Description": environment.description}
        | ({"CA": environment.ca} if environment.ca else {})
        for name, environment in known.items()
        if name not in unsaved and environment not in BUILT_IN
    }
    config.set("envs", json.dumps(saved))


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls go: an environment, its proxy's address and authority, a namespace there, and the config file."""

    environment: str
    address: str
    namespace: str
    config: Config
    ca: str = ""


def target(
    *, environment: str = "", address: str = "", namespace: str = "", config_file: str | Path | None = None
) -> Target:
    """What was asked for, else what the environment variables say, else what the config file says.

    Raises NotFound for an environment nobody knows, and FailedPrecondition for one whose address nobody has said.
    """
    config = Config(config_file)
    name = current_environment(config, environment)
    address = address or os.environ.get("MICRO_PROXY", "")
    known = environments(config)
    ca = os.environ.get("MICRO_TLS_CA", "") or (known[name].ca if name in known and not address else "")
    return Target(name, address or _address(known, name), current_namespace(config, name, namespace), config, ca)


def current_environment(config: Config, asked_for: str = "") -> str:
    """The name of the environment to talk to, whether there is one of that name or not."""
    return asked_for or os.environ.get("MICRO_ENV") or config.get("env") or "local"


def current_namespace(config: Config, environment: str, asked_for: str = "") -> str:
    """The namespace to work in, in an environment."""
    saved = config.get(f"namespaces.{environment}.current")
    return asked_for or os.environ.get("MICRO_NAMESPACE") or saved or DEFAULT_NAMESPACE


def _address(known: Mapping[str, Environment], name: str) -> str:
    from .errors import FailedPrecondition, NotFound

    if name not in known:
        unknown = NotFound(f'Env "{name}" not found. See `micro env` for available environments.')
        raise _mistake(unknown, exit_code=128)  # Micro's
    if not known[name].address:
        blank = FailedPrecondition(f'Env "{name}" has no address: say it with `micro env add {name} HOST:PORT`.')
        raise _mistake(blank)
    return known[name].address


def _mistake(error: errors.Error, *, exit_code: int = 1) -> errors.Error:
    """The error with the exit code of what is wrong on this machine, and nothing that a server refused."""
    error.exit_code = exit_code  # type: ignore[misc]
    return error
