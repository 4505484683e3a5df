"""Symbolic links of a repository: each becomes what it points to, as in a folder that is uploaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from micro.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted

from . import tree

ASKED_EVERY = 200  # looks


def settle(root: Path, *, may_go_on: Callable[[], bool] = lambda: True) -> None:
    """Replace every symbolic link below `root` by a copy of the file or folder that it points to.

    A link to nothing, or to a folder that holds it, is removed. Raises InvalidArgument for one that leads out of
    `root`, ResourceExhausted when links and copies are more than a source may hold or too deep, and DeadlineExceeded
    when `may_go_on`, which is asked now and then, says no.
    """
    copier = _Copier(root.resolve(), may_go_on)
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

    def __init__(self, root: Path, may_go_on: Callable[[], bool]) -> None:
        self.root, self._may_go_on = root, may_go_on
        self._looks, self._bytes = 0, 0

    def target(self, link: Path) -> Path | None:
        """Where a link leads in the end; None when nothing is there."""
        self._count(0)
        try:
            found = link.resolve()
        except (OSError, RuntimeError):  # a name that cannot be, or a circle
            return None
        # Before anybody looks whether it is there: the answer must not tell what the server has.
        if not found.is_relative_to(self.root):
            name = link.relative_to(self.root)
            raise InvalidArgument(f"{name} links to something outside of the repository, which is not fetched.")
        return found if os.path.exists(found) else None  # noqa: PTH110 - Path's raises for a name that cannot be

    def copy(self, source: Path, destination: Path, *, inside: tuple[Path, ...]) -> None:
        """Copy a file or folder, through the links in it. `inside` are the folders that hold it: none comes again."""
        is_folder = source.is_dir()
        self._count(0 if is_folder else source.stat().st_size)
        if len(inside) > tree.DEEPEST:
            raise tree.too_deep()
        if not is_folder:
            shutil.copy2(source, destination)
            return
        if source in inside:
            return
        destination.mkdir()
        for child in sorted(source.iterdir()):
            target = self.target(child) if child.is_symlink() else child
            if target is not None:
                self.copy(target, destination / child.name, inside=(*inside, source))

    def _count(self, size_bytes: int) -> None:
        """Note one more look at a link or file: also links to nothing take their time."""
        self._looks += 1
        self._bytes += size_bytes
        if self._looks > tree.MOST_FILES or self._bytes > tree.LARGEST_BYTES:
            raise ResourceExhausted("The symbolic links of the source stand for more files than a source may hold.")
        if self._looks % ASKED_EVERY == 0 and not self._may_go_on():
            raise DeadlineExceeded("The symbolic links of the source took too long, or the deployment was ended.")
