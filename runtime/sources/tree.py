"""The limits of a source tree, wherever it comes from."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from micro.errors import ResourceExhausted

LARGEST_BYTES = 1 << 30
MOST_FILES = 100_000
DEEPEST = 100  # folders in folders, as of archives


def too_deep() -> ResourceExhausted:
    """What is said of folders in folders in folders."""
    return ResourceExhausted(f"The source holds folders in folders, more than {DEEPEST} deep.")


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue  # git moves its temporary files while we look
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise too_deep() from None
            raise


def size_bytes(folder: Path) -> int:
    """The sum of the files' sizes; a folder that is not there has none.

    Raises ResourceExhausted for folders so deep that no path names them.
    """
    total = 0
    for entry in _entries(str(folder)):
        try:
            total += 0 if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total


def require_within_limits(folder: Path) -> None:
    """Raises ResourceExhausted when the tree holds too many files or bytes, or folders that are too deep."""
    count, top = 0, str(folder).count(os.sep)
    for entry in _entries(str(folder)):
        count += 1
        if entry.path.count(os.sep) - top > DEEPEST:
            raise too_deep()
    if count > MOST_FILES:
        raise ResourceExhausted(f"The source holds more than {MOST_FILES} files and folders.")
    if size_bytes(folder) > LARGEST_BYTES:
        raise ResourceExhausted(f"The source is larger than {LARGEST_BYTES >> 20} MiB.")
