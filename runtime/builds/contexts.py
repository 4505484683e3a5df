"""What the engine is given for a build: a context folder and a Dockerfile, made of the fetched files."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from micro.errors import InvalidArgument
from runtime import folders
from runtime.backends import containers
from runtime.sources import Fetched

from . import detect, dockerfiles, environments, references
from .plans import Plan

LARGEST_DOCKERFILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Staged:
    """What the engine is given: a context folder and a Dockerfile outside it, with its ignore file beside it.

    The Dockerfile `is_own` when the source has brought it.
    """

    context: Path
    dockerfile: Path
    is_own: bool = False


def stage(fetched: Fetched, plan: Plan, folder: Path, *, namespace: str) -> Staged:
    """Lay out the context of a build below `folder`, anew. The sources are moved there: the image holds them later."""
    root = folder / "image"
    folders.remove(root)
    source = _own(fetched)
    if plan.is_image:
        recipe = dockerfiles.Recipe(own_dockerfile(source))
        server = containers.server_id(settings.MICRO_HOME)
        references.require_own(recipe.text, server=server, namespace=namespace)
        context = root / dockerfiles.APP
    else:
        wheel = environments.wheel() if plan.wants_micro else None
        recipe = _generated(source, plan, wheel)
        context = root / "context"
    staged = Staged(context, root / "Dockerfile", plan.is_image)
    sources = context if plan.is_image else context / dockerfiles.APP
    sources.parent.mkdir(parents=True)
    source.rename(sources)
    _open_to_all(sources)
    staged.dockerfile.write_text(recipe.text)
    if not plan.is_image:
        _add(recipe, wheel, context / dockerfiles.ADDED)
        staged.dockerfile.with_name("Dockerfile.dockerignore").write_text("".join(f"{x}\n" for x in recipe.ignored))
    return staged


def _open_to_all(folder: Path) -> None:
    """Let the image's user read what only we may read here, as files of a repository are."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            may_run = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if may_run else 0o644)


def _own(fetched: Fetched) -> Path:
    """The service's own folder, after any link. Raises InvalidArgument for one that leads out of the source."""
    path = fetched.path.resolve()
    if not path.is_relative_to(fetched.root.resolve()):
        raise InvalidArgument(f"The folder {fetched.folder!r} leads out of the source.")
    return path


def _generated(source: Path, plan: Plan, wheel: Path | None) -> dockerfiles.Recipe:
    is_project = plan.dependencies in {".", "pyproject.toml"}
    listed = detect.listed_dependencies(source) if is_project else None
    images = dockerfiles.Images(**settings.MICRO_BASE_IMAGES)
    return dockerfiles.generate(plan, images=images, dependencies=listed, wheel=wheel.name if wheel else "")


def _add(recipe: dockerfiles.Recipe, wheel: Path | None, folder: Path) -> None:
    folder.mkdir()
    for name, text in recipe.added.items():
        (folder / name).write_text(text)
    if wheel:
        shutil.copyfile(wheel, folder / wheel.name)


def own_dockerfile(source: Path) -> str:
    """The source's Dockerfile, without the lines that would have another program read it.

    Raises InvalidArgument when it is a link out of the source, too large or not text.
    """
    path = (source / "Dockerfile").resolve()
    if not path.is_relative_to(source) or not path.is_file():
        raise InvalidArgument("The Dockerfile is a link that leads out of the source.")
    if path.stat().st_size > LARGEST_DOCKERFILE_BYTES:
        raise InvalidArgument("The Dockerfile is larger than 1 MiB.")
    try:
        return without_frontend(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidArgument("The Dockerfile cannot be parsed: it is not UTF-8 text.") from None


def without_frontend(text: str) -> str:
    """The Dockerfile without `# syntax=`, which names an image that BuildKit would run to read it.

    Lines keep their numbers. Directives end at the first line that is none: one plain comment in their place is enough.
    """
    lines = text.split("\n")
    if lines[0].lstrip().startswith(("//", "{")):
        raise InvalidArgument(f"The Dockerfile cannot be parsed: it begins with {lines[0].strip()[:40]!r}.")
    for number, line in enumerate(lines):
        if re.match(r"\s*#\s*escape\s*=", line, re.IGNORECASE):
            continue
        if line.lstrip().startswith("#"):
            lines[number] = "#"
        break
    return "\n".join(lines)
