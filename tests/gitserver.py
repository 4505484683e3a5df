"""A real git server over smart HTTP: `git http-backend` behind a small threaded HTTP server on loopback."""

from __future__ import annotations

import base64
import http.server
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

AUTHOR = {
    **{f"GIT_{who}_NAME": "A" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
}


class Handler(http.server.BaseHTTPRequestHandler):
    """CGI, as far as git needs it. `redirects` maps path prefixes to Locations, `logins` to the `user:password` wanted.

    `seen` collects what was asked, `shown` the logins that were shown.
    """

    pause: Callable[[], float]
    root: Path
    redirects: dict[str, str]
    logins: dict[str, str]
    seen: list[str]
    shown: list[str]

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        self.seen.append(self.path)
        time.sleep(self.pause())
        login = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        self.shown += [login] if login else []
        if any(self.path.startswith(prefix) and login != wanted for prefix, wanted in self.logins.items()):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        for prefix, location in self.redirects.items():
            if self.path.startswith(prefix):
                self.send_response(302)
                self.send_header("Location", location + self.path.removeprefix(prefix))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        path, _, query = self.path.partition("?")
        env = {
            **AUTHOR,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.decode().split(": ", 1) for line in head.split(b"\r\n")]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split(" ")[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class GitServer:
    """Repositories under `root`, served on 127.0.0.1:`port`; every answer comes `pause_s` late."""

    def __init__(self, root: Path) -> None:
        self.root, self.redirects, self.logins, self.pause_s = root, {}, {}, 0.0
        self.seen, self.shown = [], []
        collected = {"redirects": self.redirects, "logins": self.logins, "seen": self.seen, "shown": self.shown}
        handler = type("Bound", (Handler,), {"root": root, "pause": lambda _self: self.pause_s, **collected})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def commit(
        self,
        name: str,
        files: dict[str, str],
        *,
        branch: str = "main",
        tag: str = "",
        links: Mapping[str, Path] | None = None,
    ) -> str:
        """Commit exactly `files` and `links` to the repository `name`, made when it is not there; the commit id.

        A tag is moved.
        """
        work = self.root / f"{name}.work"
        if not work.exists():
            self._git("init", "-q", "-b", "main", str(work), cwd=self.root)
        if branch != "main":
            self._git("checkout", "-q", "-B", branch, cwd=work)
        self._git("rm", "-rq", "--ignore-unmatch", ".", cwd=work)
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        for path, target in (links or {}).items():
            (work / path).symlink_to(target)
        self._git("add", "-A", cwd=work)
        self._git("commit", "-q", "--allow-empty", "-m", "x", cwd=work)
        if tag:
            self._git("tag", "--force", tag, cwd=work)
        bare = self.root / f"{name}.git"
        if not bare.exists():
            self._git("init", "-q", "--bare", "-b", "main", str(bare), cwd=self.root)
            self._git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=bare)
        self._git("push", "-qf", str(bare), branch, "--tags", cwd=work)
        return self._git("rev-parse", "HEAD", cwd=work).strip()

    def url(self, name: str) -> str:
        """The address of a repository."""
        return f"http://127.0.0.1:{self.port}/{name}.git"

    def _git(self, *args: str, cwd: Path) -> str:
        return subprocess.run(["git", *args], cwd=cwd, env=AUTHOR, check=True, capture_output=True, text=True).stdout


@contextmanager
def git_server(root: Path) -> Iterator[GitServer]:
    """A git server for as long as the context lasts."""
    server = GitServer(root)
    server.thread.start()
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()
