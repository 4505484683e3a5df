"""Python environments made by uv, shared by every build that needs the same."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

import uv
from django.conf import settings

from runtime import folders

from . import requirements
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
            parts += [(self.folder / name).read_text(errors="replace") for name in listed]
        if self.installs_sources():
            parts.append(self.digest)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]

    def installs_sources(self) -> bool:
        """Whether files beside the list of dependencies end up in the environment."""
        is_list = self.plan.dependencies == requirements.NAME
        return not self.plan.manifests if is_list else self.plan.dependencies == "."


def commands(recipe: Recipe, environment: Path) -> list[list[str]]:
    """The argument lists that make `environment`, in order; run in the service's folder."""
    program = uv.find_uv_bin()
    install = [program, "pip", "install", "--python", str(environment / "bin" / "python")]
    plan = recipe.plan
    wanted = {"": [], ".": ["."]}.get(plan.dependencies, ["-r", plan.dependencies])
    if recipe.wheel:
        wanted = ["--override", str(overrides(environment)), *wanted, str(recipe.wheel)]
    return [
        [program, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)],
        *([[*install, *wanted]] if wanted else []),
        *([[*install, plan.server]] if plan.server else []),
    ]


def overrides(environment: Path) -> Path:
    """The file that says, while `environment` is made, what uv has to take for `micro` whoever asks for it."""
    return environment.with_name(f"{environment.name}.overrides")


def build_environment(home: Path) -> dict[str, str]:
    """The whole environment of a build: the server's own reaches it only where it says where packages come from."""
    translated = {new: os.environ[old] for old, new in FROM_PIP.items() if old in os.environ}
    return {
        "PATH": os.pathsep.join(BASE_PATH),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "UV_CACHE_DIR": str(folders.uv_cache()),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        **translated,
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


def make(recipe: Recipe, *, namespace: str, deployment_id: UUID, run: Callable[[Sequence[str]], None]) -> str:
    """The name of an environment for the recipe below `folders.environments`, made with `run` unless there is one.

    It is made under a name of this deployment and published by a small file, so that nobody sees half of one.
    """
    root, key = folders.environments(namespace), recipe.key()
    pointer = root / f"{key}.ready"
    if pointer.exists() and (root / pointer.read_text()).is_dir():
        for used in (pointer, root / pointer.read_text()):
            used.touch()  # housekeeping removes what no build has used for long
        return pointer.read_text()
    name = f"{key}-{deployment_id.hex[:8]}"
    folders.remove(root / name)
    try:
        if recipe.wheel:
            overrides(root / name).write_text(f"micro @ {recipe.wheel.as_uri()}\n")
        for argv in commands(recipe, root / name):
            run(argv)
    except BaseException:
        folders.remove(root / name)
        raise
    finally:
        overrides(root / name).unlink(missing_ok=True)
    unfinished = root / f"{name}.new"
    unfinished.write_text(name)
    unfinished.rename(pointer)
    return name


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
