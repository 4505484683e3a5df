"""Python environments made by uv, shared by every build that needs the same."""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import uv
from django.conf import settings

from micro.errors import FailedPrecondition
from runtime import folders
from runtime.attempts import Attempt
from runtime.backends import bubblewrap

from . import manifests, requirements
from .plans import Plan

PASSED_ON = (
    *("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_NATIVE_TLS"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
FROM_PIP = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_FIND_LINKS": "UV_FIND_LINKS"}
BASE_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class NoWheel(RuntimeError):
    """The platform's own wheel is missing: this installation is broken, the user's source is not."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what an environment holds."""

    folder: Path
    plan: Plan
    digest: str
    wheel: Path | None

    def key(self) -> str:
        """Equal recipes have equal keys; sources count only where they are themselves installed."""
        parts = [platform.python_version(), sys.executable, self.plan.dependencies, self.plan.server]
        parts.append(_sha256(self.wheel) if self.wheel else "")
        if self.plan.dependencies and self.plan.dependencies != ".":
            listed = self.plan.manifests or (self.plan.dependencies,)
            parts += [manifests.read(self.folder, name) for name in listed]
        if self.installs_sources():
            parts.append(self.digest)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]

    def installs_sources(self) -> bool:
        """Whether files beside the list of dependencies end up in the environment."""
        is_list = self.plan.dependencies == requirements.NAME
        return not self.plan.manifests if is_list else self.plan.dependencies == "."


def commands(recipe: Recipe, environment: Path, overrides: Path) -> list[list[str]]:
    """The argument lists that make `environment`, in order; run in the service's folder.

    The file `overrides` says what uv has to take for `micro` whoever asks for it.
    """
    program = uv.find_uv_bin()
    install = [program, "pip", "install", "--python", str(environment / "bin" / "python")]
    plan = recipe.plan
    wanted = {"": [], ".": ["."]}.get(plan.dependencies, ["-r", plan.dependencies])
    if recipe.wheel:
        wanted = ["--override", str(overrides), *wanted, str(recipe.wheel)]
    return [
        [program, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)],
        *([[*install, *wanted]] if wanted else []),
        *([[*install, plan.server]] if plan.server else []),
    ]


def build_environment() -> dict[str, str]:
    """The environment of a build: the server's own reaches it only where it says where packages come from."""
    translated = {new: os.environ[old] for old, new in FROM_PIP.items() if old in os.environ}
    return {
        "PATH": os.pathsep.join(BASE_PATH),
        "LANG": "C.UTF-8",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        **translated,
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


def make(recipe: Recipe, *, attempt: Attempt, run: Callable[[Sequence[str]], None]) -> str:
    """The name of an environment for the recipe below `folders.environments`, made with `run` unless there is one.

    It is made under a name of this deployment and published by a small file, so that nobody sees half of one.
    """
    root, key = folders.environments(attempt.namespace), recipe.key()
    pointer = root / f"{key}.ready"
    if pointer.exists() and (root / pointer.read_text()).is_dir():
        for used in (pointer, root / pointer.read_text()):
            used.touch()  # housekeeping removes what no build has used for long
        return pointer.read_text()
    name = f"{key}-{attempt.deployment_id.hex[:8]}"
    made = _made_in(attempt.namespace) / name
    _clear(made, root / name)
    overrides = folders.made(attempt.folder) / "overrides"
    try:
        if recipe.wheel:
            overrides.write_text(f"micro @ {recipe.wheel.as_uri()}\n")
            overrides.chmod(0o644)
        for argv in commands(recipe, root / name, overrides):
            run(argv)
        _keep(made, root / name)
    except BaseException:
        _clear(made, root / name)
        raise
    finally:
        overrides.unlink(missing_ok=True)
    unfinished = root / f"{name}.new"
    unfinished.write_text(name)
    unfinished.rename(pointer)
    return name


def uv_cache(namespace: str) -> Path:
    """uv's cache as it is seen where an environment is made: beside it, or no file could be a link into it."""
    return (folders.environments if bubblewrap.is_used() else folders.cache)(namespace) / "uv"


def _made_in(namespace: str) -> Path:
    """Where an environment comes to be. Within walls that is the cache, which is seen where environments are.

    What it may write to holds no other environment and nothing that we follow by name.
    """
    return (folders.cache if bubblewrap.is_used() else folders.environments)(namespace)


def _keep(made: Path, environment: Path) -> None:
    """Take it to where environments are. Raises FailedPrecondition for what is no folder: a link would be followed."""
    if made != environment:
        made.rename(environment)
    if not stat.S_ISDIR(environment.lstat().st_mode):
        raise FailedPrecondition("The build has put something else in the place of its environment.")


def _clear(*paths: Path) -> None:
    for path in paths:
        folders.remove(path)


def wheel() -> Path:
    """The newest wheel of the platform's own client. Raises NoWheel, naming the way out, when there is none."""
    given = getattr(settings, "MICRO_WHEEL", None)
    if given and Path(given).is_file():
        return Path(given)
    found = sorted((Path(sys.prefix) / "share" / "micro").glob("micro-*.whl"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise NoWheel(f"There is no micro wheel in {Path(sys.prefix) / 'share' / 'micro'}; `make install` builds it.")
    return found[-1]


def _sha256(path: Path) -> str:
    return _sha256_at(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _sha256_at(path: Path, _changed_at: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
