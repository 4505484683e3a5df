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


def shown(told: str, text: str) -> str:
    """A source as a sentence has it: what its user told, but for a folder, whose path is of the user's machine."""
    return "the files that were sent" if text.startswith(ARCHIVE) else told


def fetch(text: str, *, folder: str, attempt: Attempt, token: str = "") -> Fetched:
    """Put the files that `text` names (a git source or `archive:<sha256>`) where the attempt wants them, made anew.

    The `token` opens a private repository.

    Raises micro.errors.Error with the reason when that cannot be.
    """
    folders.remove(attempt.source)
    if text.startswith(ARCHIVE):
        sha256 = text.removeprefix(ARCHIVE)
        archives.unpack(_existing_archive(attempt.namespace, sha256), attempt.source)
        return _existing(Fetched(attempt.source, require_folder(folder), f"sha256:{sha256}"))
    source = git.parse(text)
    commit = clone.clone(source, attempt, token=token)
    return _existing(Fetched(attempt.source, source.folder, f"git:{commit}"))


def require_there(text: str, *, namespace: str) -> None:
    """Raises NotFound when `text`, as `fetch` takes it, names an archive that is no longer kept."""
    if text.startswith(ARCHIVE):
        _existing_archive(namespace, text.removeprefix(ARCHIVE))


def _existing_archive(namespace: str, sha256: str) -> Path:
    archive = uploads.path(namespace, sha256)
    if not archive.exists():
        raise NotFound("The uploaded archive is no longer there; upload it again.")
    return archive


def _existing(fetched: Fetched) -> Fetched:
    if not fetched.path.is_dir():
        raise NotFound(f"The source has no folder {fetched.folder!r}.")
    return fetched
