"""What `micro run` is given: a folder of this machine, or a place in a git repository."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from micro.wire import PLATFORM_SERVICES

from .failures import Failure

CHUNK_BYTES = 256 * 1024
MOST_FILES = 100_000  # as many as the server takes
# Also where the work tree is another user's (sudo, containers, mounted folders); what its settings run stays off.
ASKED_SAFELY = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")
SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "__pycache__",
        "node_modules",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
    }
)
LATEST = "latest"
LONGEST_NAME = 63  # characters of one part of a host name, which also has `--` and the namespace
RESERVED = PLATFORM_SERVICES | {"client", "debug", "grpc", "micro", "server"}
Setting = Callable[[str], str]  # a git setting by its name, blank when there is none
NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Source:
    """A source and the service it becomes, which is `named_after` a folder or repository, or blank.

    A local one has a folder, another one a location that the server fetches; one that `is_kept` stays as it is.
    """

    name: str
    version: str
    shown: str
    named_after: str = ""
    location: str = ""
    folder: Path | None = None
    is_kept: bool = False
    metadata: tuple[tuple[str, str], ...] = ()


def resolve(text: str, setting: Setting) -> Source:
    """Understand what the user typed, whose git settings `setting` has.

    Raises Failure for a folder that is not there and for what is no source.
    """
    path = Path(text)
    if path.is_dir():
        own = path.resolve().name
        return Source(name=fit(own), named_after=own, version=LATEST, shown=text, folder=path)
    if path.exists():
        raise Failure(f"{text} is a file: name the folder it is in.")
    if text.startswith((".", "/", "~")):
        raise Failure(f"There is no folder {text}.")
    return _remote(text, setting)


def _remote(text: str, setting: Setting) -> Source:
    scheme, separator, rest = text.partition("://")
    if "::" in text or (separator and scheme not in ("http", "https")):
        raise Failure(f"{text} cannot be fetched: name a folder, host/org/repo[/folder][@ref] or an https:// URL.")
    if not separator:
        rest = text if _begins_with_host(text) else _below_base_url(text, setting)
    location, at, ref = _ref_split(rest)
    own = location.rstrip("/").rpartition("/")[2].removesuffix(".git")
    if not own:
        raise Failure(f"{text} names no repository: a git source looks like https://github.com/org/repo.")
    if at and not ref:
        raise Failure(f"{text} ends with '@': name a branch, tag or commit after it.")
    return Source(
        name=fit(own),
        named_after=own,
        version=ref or LATEST,
        shown=location,
        location=f"{scheme}://{rest}" if separator else rest,
    )


def fit(name: str) -> str:
    """The service name that is made of a folder's or repository's name; blank when nothing can be made of it."""
    return re.sub(r"[-_.\s]+", "-", name.lower()).strip("-")


def require_name(name: str, namespace: str, *, way_out: str = " with --name") -> None:
    """Raises Failure for what the server would not take as a service's name; `way_out` says where another is given."""
    longest = LONGEST_NAME - (0 if "." in name else len(f"--{namespace}"))
    if not NAME.fullmatch(name) or "--" in name or ".." in name or len(name) > longest:
        raise Failure(
            f"{name!r} cannot name a service: choose a name of 1 to {longest} lower-case letters, digits, dots "
            f"and single hyphens{way_out}."
        )
    if name in RESERVED or name.startswith("grpc."):
        raise Failure(f"{name!r} is the platform's own name: choose another{way_out}.")


def _begins_with_host(text: str) -> bool:
    host, slash, _ = text.partition("/")
    return bool(slash) and ("." in host or ":" in host or host == "localhost")


def _below_base_url(text: str, setting: Setting) -> str:
    """A bare name where the user wants such names to be looked up. Raises Failure when the user wants that nowhere."""
    base = setting("baseurl")
    if not base:
        raise Failure(f"There is no folder {text} here; a git source looks like github.com/org/repo.")
    return f"{base.rstrip('/')}/{text}"


def _ref_split(rest: str) -> tuple[str, str, str]:
    """Split `location@ref` at the first `@` that does not begin a segment: `packages/@org/name@pkg@1.2.3`."""
    match = re.fullmatch(r"([^/]*/(?:[^@]|(?<=/)@)*)(?<=[^/])@(.*)", rest)
    return (match[1], "@", match[2]) if match else (rest, "", "")


def named(text: str) -> tuple[str, str]:
    """`name[@version]`, or a folder whose name is meant; the name and the version (latest by default)."""
    name, _, version = text.partition("@")
    if name in (".", "..") or "/" in name:
        return fit(Path(name).resolve().name), version or LATEST
    return name, version or LATEST


def credentials(source: Source, setting: Setting) -> str:
    """The token that the user has set for the host of a private repository; blank when there is none."""
    host = source.shown.partition("/")[0]
    for known in ("github", "gitlab", "bitbucket"):
        if host in (f"{known}.com", f"{known}.org"):
            return setting(f"credentials.{known}")
    url = setting("credentials.url")
    return setting("credentials.token") if url and url in source.shown else ""


@dataclass(frozen=True, slots=True)
class Archive:
    """A folder as an uncompressed tar: how many files, and how many bytes in them."""

    file: IO[bytes]
    files: int
    size_bytes: int

    def chunks(self) -> Iterator[bytes]:
        self.file.seek(0)
        while chunk := self.file.read(CHUNK_BYTES):
            yield chunk


def archive(folder: Path) -> Archive:
    """Pack the folder's files: those git would not ignore, or all but the usual rubbish where there is no git.

    The same files make the same bytes. Raises Failure for an empty folder and for links that lead out of it.
    """
    paths = files(folder)
    if not paths:
        raise Failure(f"There is nothing in {folder} to run.")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the archive
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        size_bytes = sum(_add(tar, folder, path) for path in paths)
    return Archive(file, len(paths), size_bytes)


def files(folder: Path) -> list[str]:
    """The files of the folder that are sent, sorted.

    Raises Failure where git cannot say what it ignores, and for a link that leads out.
    """
    tracked = _tracked(folder)
    return sorted(set(_walked(folder, within=folder) if tracked is None else tracked))


def _add(tar: tarfile.TarFile, folder: Path, path: str) -> int:
    """Put one file into the archive; its size in bytes."""
    file = folder / path
    _require_inside(file, folder)
    with file.open("rb") as content:
        known = os.fstat(content.fileno())
        member = tarfile.TarInfo(path)
        member.size, member.mtime = known.st_size, int(known.st_mtime)
        member.mode = 0o755 if known.st_mode & 0o100 else 0o644
        tar.addfile(member, content)
        return member.size


def _tracked(folder: Path) -> list[str] | None:
    """What git knows or would add; None when the folder is no part of a work tree.

    Raises Failure when git does not answer: without it everything that it ignores would be sent.
    """
    command = ["git", *ASKED_SAFELY, "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, stdin=subprocess.DEVNULL, env=os.environ | {"LC_ALL": "C"}
        )
    except FileNotFoundError:
        return None
    if done.returncode:
        if b"not a git repository" in done.stderr:
            return None
        words = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise Failure(f"git cannot say which files of {folder} it ignores ({words}): mend that, or copy the folder.")
    names = os.fsdecode(done.stdout).split("\0")
    environments = tuple(name.removesuffix("pyvenv.cfg") for name in names if name.endswith("/pyvenv.cfg"))
    return [found for name in names if name and not name.startswith(environments) for found in _known(folder, name)]


def _known(folder: Path, name: str) -> list[str]:
    """The files that a name of git's stands for: itself, or what is in a repository or linked folder."""
    if (folder / name).is_dir():
        inner = _walked(folder / name, within=folder) if _is_walked(folder / name, folder) else []
        return [f"{name.rstrip('/')}/{path}" for path in inner]
    return [name] if (folder / name).is_file() and not SKIPPED.intersection(name.split("/")) else []


def _walked(folder: Path, *, within: Path) -> list[str]:
    """The files below a folder, through links to other folders `within` the one that is sent."""
    found: list[str] = []
    _require_inside(folder, within)
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if _is_walked(Path(root, name), within)]
        inside = Path(root).relative_to(folder)
        found += [str(inside / name) for name in files if Path(root, name).is_file()]
        if len(found) > MOST_FILES:
            raise Failure(f"{folder} holds more than {MOST_FILES} files, which is more than can be sent.")
    return found


def _is_walked(folder: Path, within: Path) -> bool:
    """Whether the files of a folder are sent: not those of environments, nor of a link to a folder that holds it."""
    if folder.name in SKIPPED or (folder / "pyvenv.cfg").is_file():
        return False
    if not folder.is_symlink():
        return True
    _require_inside(folder, within)
    return not folder.parent.resolve().is_relative_to(folder.resolve())


def _require_inside(path: Path, within: Path) -> None:
    if not path.resolve().is_relative_to(within.resolve()):
        raise Failure(f"{path} links to something outside of the folder, which cannot be sent along.")
