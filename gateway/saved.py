"""The last good resources on disk, so that a restarted Envoy can be served while Postgres is away.

A manifest names the versions; each version is one file, written once. A change of one service writes one small file.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from .resources import Resource, Resources, version_of

logger = logging.getLogger(__name__)


def save(folder: Path, resources: Resources, *, made_for: str) -> None:
    """Keep `resources` in `folder`. `made_for` says which settings they fit; `load` takes nothing else."""
    contents = folder / "contents"
    contents.mkdir(parents=True, exist_ok=True, mode=0o700)
    manifest: dict[str, dict[str, str]] = {}
    for type_url, named in resources.with_secret(None).by_type.items():  # the key has its place, which is not here
        manifest[type_url] = {name: each.version for name, each in named.items()}
        for each in named.values():
            if not (contents / each.version).exists():
                _write(contents / each.version, each.value, durably=False)  # a torn one is found out by its name
    document = {"revision": resources.revision, "made_for": made_for, "resources": manifest}
    _write(folder / "manifest.json", json.dumps(document).encode())
    _sweep(contents, {version for versions in manifest.values() for version in versions.values()})


def load(folder: Path, *, made_for: str) -> Resources | None:
    """What was saved for the same settings; None when there is nothing whole."""
    try:
        document = json.loads((folder / "manifest.json").read_text())
        if document["made_for"] != made_for:
            return None
        contents = folder / "contents"
        return Resources(
            document["revision"],
            {
                type_url: {
                    name: Resource(type_url, name, version, _read(contents / version))
                    for name, version in versions.items()
                }
                for type_url, versions in document["resources"].items()
            },
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        logger.warning("the saved gateway configuration in %s cannot be used: %s", folder, error)
        return None


def _read(path: Path) -> bytes:
    """A content that is what its name says; one that is not is taken away, and raises ValueError."""
    content = path.read_bytes()
    if version_of(content) != path.name:
        path.unlink()
        raise ValueError(f"{path.name} is torn")
    return content


def _write(path: Path, content: bytes, *, durably: bool = True) -> None:
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(content)
        if durably:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)


def _sweep(contents: Path, needed: set[str]) -> None:
    for path in contents.iterdir():
        if path.name not in needed:
            path.unlink(missing_ok=True)
