"""Git repositories: the grammar of what may be named, the exact command lines, and fetching one commit.

A source is `host/org/repo[/folder][@ref]` or `https://host/path/repo.git[/folder][@ref]`. Everything else is refused
before any process or socket exists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from django.conf import settings

from micro.errors import InvalidArgument

LONGEST = 2048
PORTS = {"https": 443, "http": 80}

_HOST = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9_.+~@][A-Za-z0-9_.+~@-]*")
_COMMIT = re.compile(r"[0-9A-Fa-f]{40}")
_ABBREVIATED = re.compile(r"[0-9A-Fa-f]{4,39}")
_REF = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./+#=@-]*")
_CREDENTIALS = re.compile(r"(?<=//)[^/]*@|^[^/:]*:[^/]*@")
_REF_AT = re.compile(r"([^/]*/(?:[^@]|(?<=/)@)*)(?<=[^/])@(.*)")


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of a repository at a ref. A blank folder is the root, a blank ref the default branch."""

    scheme: str
    host: str
    port: int
    repository: str
    folder: str = ""
    ref: str = ""

    @property
    def authority(self) -> str:
        """`host`, with the port where it is not the scheme's own."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """What git is given."""
        return f"{self.scheme}://{self.authority}/{self.repository}"

    @property
    def name(self) -> str:
        """The service name that follows from the source: the last segment of folder or repository."""
        return PurePosixPath(self.folder or self.repository.removesuffix(".git")).name.lower()

    @property
    def is_commit(self) -> bool:
        """Whether the ref is a whole commit id."""
        return bool(_COMMIT.fullmatch(self.ref))

    @property
    def may_be_abbreviated(self) -> bool:
        """Whether the ref looks like the first digits of a commit id, which no git server looks up."""
        return bool(_ABBREVIATED.fullmatch(self.ref))

    @property
    def is_full_ref(self) -> bool:
        """Whether the ref is the whole name of one, such as `refs/pull/7/head`."""
        return self.ref.startswith("refs/")

    def __str__(self) -> str:
        shown = self.repository if not self.folder else f"{self.repository}/{self.folder}"
        return f"{self.scheme}://{self.authority}/{shown}" + (f"@{self.ref}" if self.ref else "")


def parse(text: str, *, ref: str = "") -> Source:
    """Read a git source; `ref` is used where the text names none.

    Raises InvalidArgument, naming what is wrong, for everything outside the grammar: other schemes, credentials, ports
    and hosts that are not on the allow list, `..`, options, control characters.
    """
    _require_plain(text)
    scheme, rest = _split_scheme(text)
    rest, text_ref = _split_ref(rest)
    authority, _, path = rest.partition("/")
    host, port = _authority(text, scheme, authority)
    repository, folder = _split_path(text, path)
    ref = text_ref or ref
    if ref:
        require_ref(ref)
    return Source(scheme=scheme, host=host, port=port, repository=repository, folder=folder, ref=ref)


def require_ref(ref: str) -> None:
    """Raises InvalidArgument unless `ref` may be a branch, tag or commit (and never an option)."""
    parts = ref.split("/")
    bad_part = any(not part or part.startswith(".") or part.endswith((".lock", ".")) for part in parts)
    if not _REF.fullmatch(ref) or ".." in ref or len(ref) > 200 or ref == "@" or bad_part:
        raise InvalidArgument(f"The ref {ref[:200]!r} is not the name of a branch, tag or commit.")


def _require_plain(text: str) -> None:
    if not text:
        raise InvalidArgument("The source is blank: name a folder or a git repository.")
    if len(text) > LONGEST:
        raise InvalidArgument(f"The source is longer than {LONGEST} characters.")
    if "::" in text:
        raise InvalidArgument(f"The source {_shown(text)} names a git transport helper with '::'; use https.")
    if not text.isascii() or not text.isprintable() or any(char in text for char in " \\%?"):
        raise InvalidArgument(f"The source {_shown(text)} holds characters that no git URL of ours has.")


def _shown(text: str) -> str:
    """The text for an error message, without what may be a password."""
    return repr(re.sub(_CREDENTIALS, "…@", text)[:200])


def without_credentials(text: str) -> str:
    """The text of a source without what may be a user and password."""
    return _CREDENTIALS.sub("", text)


def _split_scheme(text: str) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    if not separator:
        if ":" in text.partition("/")[0] and not _is_listed(text.partition("/")[0]):
            raise InvalidArgument(f"The source {_shown(text)} is no https URL; say https://host/path/repo.git.")
        return "https", text
    if scheme not in PORTS:
        raise InvalidArgument(f"The source {_shown(text)} has the scheme {scheme[:20]!r}; only https is fetched.")
    return scheme, rest


def _split_ref(rest: str) -> tuple[str, str]:
    """Split `path@ref` at the first `@` that does not begin a segment: `packages/@org/name@pkg@1.2.3`."""
    match = _REF_AT.fullmatch(rest)
    if match is None:
        return rest, ""
    if not match[2]:
        raise InvalidArgument(f"The source {rest[:200]!r} ends with '@' and no ref.")
    return match[1], match[2]


def _authority(text: str, scheme: str, authority: str) -> tuple[str, int]:
    if "@" in authority:
        raise InvalidArgument(f"The source {_shown(text)} holds credentials; they do not belong into a URL.")
    host, separator, digits = authority.lower().rpartition(":") if ":" in authority else (authority.lower(), "", "")
    if separator and not re.fullmatch(r"[1-9][0-9]{0,4}", digits):
        raise InvalidArgument(f"The source {_shown(text)} has no proper port.")
    port = int(digits) if digits else PORTS[scheme]
    if not is_allowed(host, port):
        _require_public_form(text, scheme, host, port)
    return host, port


def _require_public_form(text: str, scheme: str, host: str, port: int) -> None:
    if not _HOST.fullmatch(host):
        raise InvalidArgument(
            f"The source {_shown(text)}: {host[:100]!r} is not the name of a public host; "
            "the server's operator may list it in MICRO_GIT_ALLOW_HOSTS."
        )
    if scheme != "https" or port != 443:
        raise InvalidArgument(
            f"The source {_shown(text)}: only https on port 443 is fetched, "
            f"unless the server's operator lists {host}:{port} in MICRO_GIT_ALLOW_HOSTS."
        )


def is_allowed(host: str, port: int) -> bool:
    """Whether the operator listed this host: with http, with private addresses, with that port."""
    listed = settings.MICRO_GIT_ALLOW_HOSTS
    return f"{host}:{port}" in listed or (host in listed and port in PORTS.values())


def _is_listed(authority: str) -> bool:
    host, _, digits = authority.rpartition(":")
    return digits.isdigit() and is_allowed(host.lower(), int(digits))


def _split_path(text: str, path: str) -> tuple[str, str]:
    segments = path.removesuffix("/").split("/")
    for segment in segments:
        if not _SEGMENT.fullmatch(segment) or segment in {".", ".git"} or segment.startswith(".."):
            raise InvalidArgument(f"The source {_shown(text)}: {segment[:100]!r} cannot be part of its path.")
    end = next((index + 1 for index, segment in enumerate(segments) if segment.endswith(".git")), min(2, len(segments)))
    if segments[end - 1].startswith("@") or segments[0].startswith("@"):
        raise InvalidArgument(f"The source {_shown(text)} names no repository.")
    return "/".join(segments[:end]), "/".join(segments[end:])
