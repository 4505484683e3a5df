"""Symbolic links of a repository: each becomes what it points to, as in a folder that is uploaded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from micro.errors import InvalidArgument, ResourceExhausted

from . import tree


def settle(root: Path) -> None:
    """Replace every symbolic link below `root` by a copy of the file or folder that it points to.

    A link to nothing, or to a folder that holds it, is removed. Raises InvalidArgument for one that leads out of
    `root`, and ResourceExhausted when the copies are more than a source may hold.
    """
    copier = _Copier(root.resolve())
    for link in _links(copier.root):
        target = copier.target(link)
        link.unlink()
        if target is not None:
            copier.copy(target, link, inside=(*link.parents,))


def _links(root: Path) -> list[Path]:
    return [
        Path(folder, name)
        for folder, folders, files in os.walk(root)
        for name in (*folders, *files)
        if Path(folder, name).is_symlink()
    ]


class _Copier:
    """Copies what links point to, within the limits of one source."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files, self._bytes = 0, 0

    def target(self, link: Path) -> Path | None:
        """Where a link leads in the end; None when nothing is there."""
        try:
            found = link.resolve()
        except RuntimeError:  # in a circle
            return None
        # Before anybody looks whether it is there: the answer must not tell what the server has.
        if not found.is_relative_to(self.root):
            name = link.relative_to(self.root)
            raise InvalidArgument(f"{name} links to something outside of the repository, which is not fetched.")
        return found if found.exists() else None

    def copy(self, source: Path, destination: Path, *, inside: tuple[Path, ...]) -> None:
        """Copy a file or folder, through the links in it. `inside` are the folders that hold it: none comes again."""
        self._count(source)
        if not source.is_dir():
            shutil.copy2(source, destination)
            return
        if source in inside:
            return
        destination.mkdir()
        for child in sorted(source.iterdir()):
            target = self.target(child) if child.is_symlink() else child
            if target is not None:
                self.copy(target, destination / child.name, inside=(*inside, source))

    def _count(self, source: Path) -> None:
        self._files += 1
        self._bytes += 0 if source.is_dir() else source.stat().st_size
        if self._files > tree.MOST_FILES or self._bytes > tree.LARGEST_BYTES:
            raise ResourceExhausted("The symbolic links of the source stand for more files than a source may hold.")
