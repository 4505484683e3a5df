"""Archives that clients send: judged, stored by their SHA-256, found by name and version."""

from __future__ import annotations

import hashlib
import os
import tempfile
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings
from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Concat

from micro.errors import InvalidArgument, NotFound, ResourceExhausted
from runtime import folders
from runtime.models import Deployment, Upload
from tenants import quotas
from tenants.models import Namespace

from . import archives

SCHEME = "source://"
PREFIX = "upload-"  # of the files of archives on their way in, then the namespace
LOOK_EVERY_BYTES = 1 << 20  # at the quota, while an archive comes in
LEAST_BYTES = 64 << 10  # what an archive counts as, however small: a namespace keeps so many at most, too


class Incoming:
    """An archive of a namespace on its way in. As a context it leaves no file behind unless `keep` was called."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        prefix = f"{PREFIX}{namespace}-"
        handle, name = tempfile.mkstemp(prefix=prefix, dir=folders.unfinished())
        self._file, self._path = os.fdopen(handle, "wb"), Path(name)
        self._digest, self.size_bytes = hashlib.sha256(), 0
        self._allowed_bytes = 0  # as far as the namespace's quota was looked at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Append to it. Raises ResourceExhausted when it, or all that its namespace keeps, becomes too large."""
        self.size_bytes += len(chunk)
        if self.size_bytes > archives.LARGEST_ARCHIVE_BYTES:
            raise ResourceExhausted(f"The archive is larger than {archives.LARGEST_ARCHIVE_BYTES >> 20} MiB.")
        if self.size_bytes > self._allowed_bytes:
            self._require_room()
        self._digest.update(chunk)
        self._file.write(chunk)

    def keep(self, *, namespace: Namespace, name: str, version: str) -> str:
        """Store it as the last upload of `name` and `version`; its id. Raises as `write` and `require_safe` do.

        What was uploaded as that before goes, unless something needs it.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._require_room()
        archives.require_safe(self._path)
        sha256 = self._digest.hexdigest()
        rows = Upload.objects.in_namespace(namespace)
        before = rows.filter(name=name, version=version).exclude(sha256=sha256)
        replaced = list(before.values_list("sha256", flat=True))
        self._path.rename(path(namespace.slug, sha256))
        rows.update_or_create(
            namespace=namespace,
            name=name,
            version=version,
            defaults={"sha256": sha256, "size_bytes": self.size_bytes},
        )
        for old in set(replaced) - needed(namespace.slug):
            folders.remove(path(namespace.slug, old))
        return f"{SCHEME}{name}:{version}"

    def _require_room(self) -> None:
        """Raises ResourceExhausted unless the namespace may keep this and a bit more; what others send counts, too."""
        most = quotas.limit(self._namespace, "upload_bytes")
        used = used_bytes(self._namespace, except_for=self._path) + self.size_bytes
        if used > most:
            life = int(settings.MICRO_UPLOAD_LIFE.total_seconds() // 3600)
            raise ResourceExhausted(
                f"Namespace {self._namespace!r} may keep {most} bytes of sources that were sent; this would make "
                f"{used}. Kill services that nobody needs; what is never deployed goes {life} hours after it was sent."
            )
        self._allowed_bytes = self.size_bytes + LOOK_EVERY_BYTES


def used_bytes(namespace: str, *, except_for: Path | None = None) -> int:
    """What the namespace keeps and sends right now, as the disk has it. Each counts as some KiB at least."""
    kept = folders.archives(namespace).glob("*.tar")
    coming = folders.unfinished().glob(f"{PREFIX}{namespace}-????????")
    return sum(max(_size_bytes(file), LEAST_BYTES) for file in (*kept, *coming) if file != except_for)


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def needed(namespace: str) -> set[str]:
    """The digests of archives that are somebody's last upload or that a deployment under way is about to unpack."""
    sources = Deployment.objects.in_namespace(namespace).unfinished().values_list("source", flat=True)
    uploads = Upload.objects.in_namespace(namespace).values_list("sha256", flat=True)
    return {source.partition(":")[2] for source in sources} | set(uploads)


def forget_unused(*, at: datetime) -> None:
    """Forget uploads of which no deployment was made for so long that none will be."""
    old = Upload.objects.across_namespaces().filter(created_at__lt=at - settings.MICRO_UPLOAD_LIFE)
    source = Concat(Value("archive:"), OuterRef("sha256"))
    deployed = Deployment.objects.across_namespaces().filter(namespace=OuterRef("namespace"), source=source)
    old.filter(~Exists(deployed)).delete()


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
