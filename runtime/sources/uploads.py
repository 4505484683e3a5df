"""Archives that clients send: judged, stored by their SHA-256, found by name and version."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from micro.errors import InvalidArgument, NotFound, ResourceExhausted
from runtime import folders
from runtime.models import Upload
from tenants.models import Namespace

from . import archives

SCHEME = "source://"


class Incoming:
    """An archive on its way in. As a context it leaves no file behind unless `keep` was called."""

    def __init__(self) -> None:
        handle, name = tempfile.mkstemp(prefix="upload-", dir=folders.unfinished())
        self._file, self._path = os.fdopen(handle, "wb"), Path(name)
        self._digest, self.size_bytes = hashlib.sha256(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Append to it. Raises ResourceExhausted when it grows too large."""
        self.size_bytes += len(chunk)
        if self.size_bytes > archives.LARGEST_ARCHIVE_BYTES:
            raise ResourceExhausted(f"The archive is larger than {archives.LARGEST_ARCHIVE_BYTES >> 20} MiB.")
        self._digest.update(chunk)
        self._file.write(chunk)

    def keep(self, *, namespace: Namespace, name: str, version: str) -> str:
        """Store it as the last upload of `name` and `version`; its id. Raises as `archives.require_safe` does."""
        self._file.flush()
        os.fsync(self._file.fileno())
        archives.require_safe(self._path)
        sha256 = self._digest.hexdigest()
        self._path.rename(path(namespace.slug, sha256))
        Upload.objects.in_namespace(namespace).update_or_create(
            namespace=namespace,
            name=name,
            version=version,
            defaults={"sha256": sha256, "size_bytes": self.size_bytes},
        )
        return f"{SCHEME}{name}:{version}"


def path(namespace: str, sha256: str) -> Path:
    """Where an archive is kept."""
    return folders.archives(namespace) / f"{sha256}.tar"


def find(*, namespace: Namespace, upload_id: str) -> Upload:
    """The last upload under the id that `keep` gave out. Raises InvalidArgument or NotFound."""
    name, separator, version = upload_id.removeprefix(SCHEME).partition(":")
    if not separator or not name or not version:
        raise InvalidArgument(f"The source {upload_id[:200]!r} is not of the form source://name:version.")
    upload: Upload | None = Upload.objects.in_namespace(namespace).filter(name=name, version=version).first()
    if upload is None:
        raise NotFound(f"Nothing was uploaded as {upload_id!r}.")
    return upload
