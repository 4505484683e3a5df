"""Uploaded archives: plain tar files, judged member by member, unpacked by us and never by tarfile's own extraction."""

from __future__ import annotations

import os
import tarfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from micro.errors import InvalidArgument, ResourceExhausted

from .tree import LARGEST_BYTES, MOST_FILES

BLOCK = 512
LONGEST_PATH = 1024
LARGEST_ARCHIVE_BYTES = 256 << 20
_LONG_RECORDS = b"xgLK"  # pax headers, GNU long names
_LARGEST_LONG_RECORD = 64 << 10
_LARGEST_PATHS = 16 << 20
_LARGEST_LONG_RECORDS = 16 << 20  # together
_LARGEST_GLOBAL_RECORDS = 4 << 10  # together: tarfile carries them along from member to member


def require_safe(archive: Path) -> None:
    """Raises InvalidArgument or ResourceExhausted, naming the member, unless every member may be unpacked."""
    for _member in _members(archive):
        pass


def unpack(archive: Path, destination: Path) -> None:
    """Write the files of `archive` below `destination`, which must not exist yet. Raises as `require_safe` does."""
    require_safe(archive)
    destination.mkdir(parents=True, mode=0o700)
    with tarfile.open(archive, mode="r:") as tar:
        for member in _members(archive):
            target = destination / _clean(member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True, mode=0o700)
            else:
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101 - a regular file, as _require_plain saw
                _write(target, content, is_executable=bool(member.mode & 0o100))


def _write(target: Path, content: IO[bytes], *, is_executable: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, 0o700 if is_executable else 0o600), "wb") as file:
        while chunk := content.read(1 << 20):
            file.write(chunk)


def _members(archive: Path) -> Iterator[tarfile.TarInfo]:
    with archive.open("rb") as raw:
        _scan_headers(raw, archive.stat().st_size)
    judge = _Judge()
    try:
        with tarfile.open(archive, mode="r:") as tar:
            for member in tar:
                judge.require_acceptable(member)
                yield member
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep every member with all its headers
    except (tarfile.TarError, EOFError, UnicodeError, OverflowError) as error:
        raise InvalidArgument(f"The archive cannot be read: {error}.") from None


def _scan_headers(raw: BinaryIO, size_bytes: int) -> None:
    """Walk the header blocks before tarfile sees them: a negative or overlong size makes it loop or read far away."""
    offset, count, global_bytes, long_bytes = 0, 0, 0, 0
    while offset + BLOCK <= size_bytes:
        raw.seek(offset)
        header = raw.read(BLOCK)
        if header == bytes(BLOCK):
            return
        count += 1
        if count > 2 * MOST_FILES:
            raise ResourceExhausted(f"The archive holds more than {MOST_FILES} members.")
        length = _length(header)
        if not 0 <= length <= size_bytes - offset - BLOCK:
            raise InvalidArgument("The archive is cut off or holds a member of an impossible size.")
        if header[156:157] in _LONG_RECORDS:
            _require_plain_record(raw.read(min(length, _LARGEST_LONG_RECORD + 1)))
            long_bytes += length
            global_bytes += length if header[156:157] == b"g" else 0
        if global_bytes > _LARGEST_GLOBAL_RECORDS or long_bytes > _LARGEST_LONG_RECORDS:
            raise InvalidArgument("The archive has large global or extended headers; pack it plainly.")
        offset += BLOCK + -(-length // BLOCK) * BLOCK
    if count == 0:
        raise InvalidArgument("The archive is no plain tar file.")


def _length(header: bytes) -> int:
    try:
        return tarfile.nti(header[124:136])  # type: ignore[attr-defined, no-any-return]
    except tarfile.HeaderError:
        raise InvalidArgument("The archive is no plain tar file.") from None


def _require_plain_record(record: bytes) -> None:
    if len(record) > _LARGEST_LONG_RECORD or b" size=" in record or b"GNU.sparse" in record:
        raise InvalidArgument("The archive has extended headers that change the size of members; pack it plainly.")


class _Judge:
    """What has been seen of one archive so far."""

    def __init__(self) -> None:
        self.folders = {"."}  # named, and implied by the paths of others
        self.named: set[str] = set()
        self.files: set[str] = set()
        self.total_bytes = 0
        self.paths_bytes = 0

    def require_acceptable(self, member: tarfile.TarInfo) -> None:
        name = member.name
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise InvalidArgument(f"The archive holds {name[:200]!r}, which is neither a plain file nor a folder.")
        if member.mode & 0o7000:
            raise InvalidArgument(f"The archive holds {name[:200]!r} with a set-uid, set-gid or sticky bit.")
        path = PurePosixPath(unicodedata.normalize("NFC", str(_clean(name))))
        self._require_new(path, is_folder=member.isdir())
        self._count(member)

    def _count(self, member: tarfile.TarInfo) -> None:
        self.total_bytes += member.size
        self.paths_bytes += len(member.name)
        if len(self.files) + len(self.folders) - 1 > MOST_FILES:
            raise ResourceExhausted(f"The archive holds more than {MOST_FILES} members and folders.")
        if self.total_bytes > LARGEST_BYTES:
            raise ResourceExhausted(f"The archive unpacks to more than {LARGEST_BYTES >> 20} MiB.")
        if self.paths_bytes > _LARGEST_PATHS:
            raise ResourceExhausted(f"The archive's paths have more than {_LARGEST_PATHS >> 20} MiB together.")

    def _require_new(self, path: PurePosixPath, *, is_folder: bool) -> None:
        key = str(path)
        is_again = key in self.files or key in self.named or (not is_folder and key in self.folders)
        if is_again or self._is_below_file(path):
            raise InvalidArgument(f"The archive holds {key[:200]!r} twice.")
        if not is_folder:
            self.files.add(key)
        elif key != ".":
            self.named.add(key)
            self.folders.add(key)

    def _is_below_file(self, path: PurePosixPath) -> bool:
        """Whether a folder on the way to a path is a file; else note those folders, up to one that is known."""
        for parent in map(str, path.parents):
            if parent in self.folders:
                return False
            if parent in self.files:
                return True
            self.folders.add(parent)
        return False


def _clean(name: str) -> PurePosixPath:
    """The member's path below the root; raises InvalidArgument for every path that could lead elsewhere."""
    path = PurePosixPath(name)
    is_odd = "\\" in name or not name.isprintable() or len(name.encode(errors="surrogateescape")) > LONGEST_PATH
    if not name or is_odd or path.is_absolute() or ".." in path.parts or _is_drive(name):
        raise InvalidArgument(f"The archive holds a member with the unsafe path {name[:200]!r}.")
    if any(len(part.encode(errors="surrogateescape")) > 255 for part in path.parts) or len(path.parts) > 100:
        raise InvalidArgument(f"The archive holds a member with the overlong path {name[:200]!r}.")
    return path


def _is_drive(name: str) -> bool:
    return len(name) > 1 and name[1] == ":" and name[0].isalpha()
