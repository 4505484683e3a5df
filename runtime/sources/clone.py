"""Fetching a repository: redirects by hand, then git with a pinned address, a bare environment and limits."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from micro.errors import DeadlineExceeded, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from runtime import folders
from runtime.attempts import Attempt

from . import addresses, git, links, tree
from .tokens import Token

TIMEOUT = timedelta(seconds=120)
PROBE_TIMEOUT_S = 15
MOST_HOPS = 5
ADVERTISEMENT = "info/refs?service=git-upload-pack"
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE")

_HARDENING = (
    *("protocol.allow=never", "protocol.https.allow=always", "core.hooksPath=/dev/null", "core.symlinks=true"),
    *("core.fsmonitor=false", "fetch.fsckObjects=true", "transfer.fsckObjects=true", "http.followRedirects=false"),
    *("submodule.recurse=false", "credential.helper=", "http.lowSpeedLimit=1000", "http.lowSpeedTime=20"),
    *("core.autocrlf=false", "core.protectHFS=true", "core.protectNTFS=true", "pack.windowMemory=64m"),
    "advice.detachedHead=false",  # what git prints is the build's log
)


def git_command(source: git.Source, address: str) -> list[str]:
    """`git` with everything that a hostile repository or server could use turned off, and the host's address pinned."""
    pinned = f"http.curloptResolve={source.host}:{source.port}:{_bracketed(address)}"
    plain = ["protocol.http.allow=always"] if source.scheme == "http" else []
    return ["git", *(arg for setting in (*_HARDENING, *plain, pinned) for arg in ("-c", setting))]


def clone_commands(source: git.Source, address: str, destination: Path) -> list[list[str]]:
    """The argument lists that put one commit of `source` into `destination`, in order. No shell."""
    command = git_command(source, address)
    if source.is_commit or source.is_full_ref:
        inside = [*command, "-C", str(destination)]
        return [
            [*command, "init", "--quiet", "--template=", "--", str(destination)],
            [
                *inside,
                "fetch",
                "--quiet",
                "--depth",
                "1",
                "--no-tags",
                "--no-recurse-submodules",
                "--",
                source.url,
                source.ref.lower() if source.is_commit else source.ref,
            ],
            [*inside, "checkout", "--quiet", "--detach", "FETCH_HEAD"],
        ]
    branch = ["--branch", source.ref] if source.ref else []
    flags = ["--quiet", "--depth", "1", "--single-branch", "--no-tags", "--no-recurse-submodules", "--template="]
    return [[*command, "clone", *flags, *branch, "--", source.url, str(destination)]]


def environment(scheme: str, empty_home: Path, authorization: str = "") -> dict[str, str]:
    """git's whole environment. GIT_ALLOW_PROTOCOL overrides the protocol.* settings, hence a constant.

    `authorization` is in it too: a command line is everybody's to read.
    """
    return {
        "PATH": os.defpath,
        "HOME": str(empty_home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_ALLOW_PROTOCOL": "https:http" if scheme == "http" else "https",
        "GIT_LFS_SKIP_SMUDGE": "1",
        **{name: os.environ[name] for name in CERTIFICATES if name in os.environ},
        **(_configured({"http.extraHeader": f"Authorization: {authorization}"}) if authorization else {}),
    }


def _configured(settings: Mapping[str, str]) -> dict[str, str]:
    """Variables that hold settings of git."""
    named = {f"GIT_CONFIG_KEY_{index}": name for index, name in enumerate(settings)}
    valued = {f"GIT_CONFIG_VALUE_{index}": value for index, value in enumerate(settings.values())}
    return {"GIT_CONFIG_COUNT": str(len(settings)), **named, **valued}


def clone(source: git.Source, attempt: Attempt, *, token: str = "") -> str:
    """Put the files of `source` where the attempt wants them (made anew, without .git); the commit id.

    A `token` is shown to the source's own host, and to none that it redirects to.

    Raises InvalidArgument for an address that may not be fetched from, NotFound when there is no such repository or
    ref, ResourceExhausted and DeadlineExceeded at the limits, Unavailable when the host does not answer.
    """
    shown = Token.of(source, token)
    source, address = settle(source, shown)
    destination = attempt.source
    destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    watch = _Watch(destination, attempt.may_go_on)
    env = environment(source.scheme, folders.empty_home(), shown.authorization(source))
    for argv in clone_commands(source, address, destination):
        status = attempt.run(argv, env=env, cwd=destination.parent, may_go_on=watch.may_go_on)
        watch.require_within_limits(source)
        if status != 0:
            raise _refused(source)
    commit = _head(source, destination)
    folders.remove(destination / ".git")
    tree.require_within_limits(destination)
    links.settle(destination, may_go_on=watch.may_go_on)
    watch.require_within_limits(source)
    tree.require_within_limits(destination)
    return commit


class _Watch:
    """The limits in time and disk of one clone."""

    def __init__(self, destination: Path, keep_going: Callable[[], bool]) -> None:
        self.destination, self.keep_going = destination, keep_going
        self.deadline = time.monotonic() + TIMEOUT.total_seconds()
        self.next_look = 0.0
        self.is_late = self.is_large = False

    def may_go_on(self) -> bool:
        """Asked while git runs."""
        now = time.monotonic()
        self.is_late = now > self.deadline
        if now >= self.next_look:
            self.is_large = tree.size_bytes(self.destination) > tree.LARGEST_BYTES
            self.next_look = time.monotonic() + 0.5
        return not self.is_late and not self.is_large and self.keep_going()

    def require_within_limits(self, source: git.Source) -> None:
        if self.is_late:
            raise DeadlineExceeded(f"Fetching {source} took longer than {TIMEOUT.total_seconds():g} s.")
        if self.is_large:
            raise ResourceExhausted(f"The repository {source} is larger than {tree.LARGEST_BYTES >> 20} MiB.")


def _refused(source: git.Source) -> NotFound:
    if source.may_be_abbreviated:
        return NotFound(
            f"{source.url} has no branch or tag {source.ref!r}. If it abbreviates a commit, give all 40 digits: "
            "git servers look up whole ids only."
        )
    ref = f" or it has no branch, tag or commit {source.ref!r}" if source.ref else ""
    return NotFound(f"git could not fetch {source.url}{ref}; the build log has its words.")


def _head(source: git.Source, destination: Path) -> str:
    """The commit id that is checked out, read without running git in the untrusted folder.

    Raises NotFound when there is none: the repository is empty, or its default branch does not exist.
    """
    head = (destination / ".git" / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head
    loose = destination / ".git" / head.removeprefix("ref: ")
    if loose.is_file():
        return loose.read_text().strip()
    packed = destination / ".git" / "packed-refs"
    for line in packed.read_text().splitlines() if packed.is_file() else ():
        if line.endswith(" " + head.removeprefix("ref: ")):
            return line.split(" ")[0]
    raise NotFound(f"{source.url} has nothing on its default branch: push a commit, or name a branch with @BRANCH.")


def settle(source: git.Source, token: Token) -> tuple[git.Source, str]:
    """Follow the redirects of `source`, judging each hop anew; where it really is, and the address to pin."""
    for _hop in range(MOST_HOPS + 1):
        address = addresses.pin(source.host, source.port)
        location = _probe(source, address, token.authorization(source))
        if location is None:
            return source, address
        source = _redirected(source, location)
    raise InvalidArgument(f"The repository {source.url} redirects more than {MOST_HOPS} times.")


def _redirected(source: git.Source, location: str) -> git.Source:
    target = urljoin(f"{source.url}/{ADVERTISEMENT}", location)
    base = target.removesuffix("/" + ADVERTISEMENT)
    if base == target:
        raise InvalidArgument(f"The repository {source.url} redirects to something that is no git repository.")
    path = urlsplit(base).path.strip("/")
    where = git.parse(base if path.endswith(".git") else base + ".git")
    repository = where.repository if path.endswith(".git") else path
    if where.folder:
        raise InvalidArgument(f"The repository {source.url} redirects to something that is no git repository.")
    return replace(where, repository=repository, folder=source.folder, ref=source.ref)


def _probe(source: git.Source, address: str, authorization: str) -> str | None:
    """Ask the pinned address for the repository: None when it is there, the Location when it redirects."""
    connection = _connect(source, address)
    headers = {"User-Agent": "git/2", **({"Authorization": authorization} if authorization else {})}
    try:
        connection.request("GET", f"/{source.repository}/{ADVERTISEMENT}", headers=headers)
        answer = connection.getresponse()
        if answer.status == 200:
            _require_git(source, answer.getheader("Content-Type", ""))
        return _judge(source, answer.status, answer.getheader("Location"), has_token=bool(authorization))
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{source.authority} does not answer as a git server: {error}.") from None
    finally:
        connection.close()


def _require_git(source: git.Source, content_type: str) -> None:
    if content_type.startswith("text/html"):
        raise NotFound(f"{source.url} is a web page and no git repository.")


def _judge(source: git.Source, status: int, location: str | None, *, has_token: bool) -> str | None:
    if status in {301, 302, 303, 307, 308} and location:
        return location
    if status == 200:
        return None
    if status in {401, 403, 404, 410}:
        if has_token:
            raise NotFound(f"There is no repository at {source.url} that the token may read (HTTP {status}).")
        raise NotFound(f"There is no public repository at {source.url} (HTTP {status}); a private one needs a token.")
    raise Unavailable(f"{source.url} answers with HTTP {status}.")


def _connect(source: git.Source, address: str) -> http.client.HTTPConnection:
    """A connection to `address` that speaks to, and checks the certificate of, the source's host."""
    connection = http.client.HTTPConnection(source.host, source.port, timeout=PROBE_TIMEOUT_S)
    try:
        plain = socket.create_connection((address, source.port), timeout=PROBE_TIMEOUT_S)
        connection.sock = plain if source.scheme == "http" else _tls(plain, source.host)
    except OSError as error:
        raise Unavailable(f"{source.authority} does not answer: {error}.") from None
    return connection


def _tls(plain: socket.socket, host: str) -> socket.socket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
