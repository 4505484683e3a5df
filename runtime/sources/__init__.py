"""Where the files of a deployment come from: a git repository or an uploaded archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from micro.errors import InvalidArgument, NotFound
from runtime import folders
from runtime.attempts import Attempt

from . import archives, clone, git, uploads

ARCHIVE = "archive:"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Files on disk: the root, the folder in it that is the service, and what exactly they are."""

    root: Path
    folder: str
    digest: str

    @property
    def path(self) -> Path:
        """The service's own folder."""
        return self.root / self.folder


def require_folder(folder: str) -> str:
    """The folder below a source's root in its one spelling. Raises InvalidArgument for one that leads elsewhere."""
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or not folder.isprintable() or "\\" in folder:
        raise InvalidArgument(f"The folder {folder[:200]!r} is not one below the source.")
    return "" if str(path) == "." else str(path)


def fetch(text: str, *, folder: str, attempt: Attempt) -> Fetched:
    """Put the files that `text` names (a git source or `archive:<sha256>`) where the attempt wants them, made anew.

    Raises micro.errors.Error with the reason when that cannot be.
    """
    folders.remove(attempt.source)
    if text.startswith(ARCHIVE):
        sha256 = text.removeprefix(ARCHIVE)
        _unpack(uploads.path(attempt.namespace, sha256), attempt.source)
        return _existing(Fetched(attempt.source, require_folder(folder), f"sha256:{sha256}"))
    source = git.parse(text)
    commit = clone.clone(source, attempt)
    return _existing(Fetched(attempt.source, source.folder, f"git:{commit}"))


def _unpack(archive: Path, destination: Path) -> None:
    if not archive.exists():
        raise NotFound("The uploaded archive is no longer there; upload it again.")
    archives.unpack(archive, destination)


def _existing(fetched: Fetched) -> Fetched:
    if not fetched.path.is_dir():
        raise NotFound(f"The source has no folder {fetched.folder!r}.")
    return fetched
