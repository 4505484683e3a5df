"""Serves a folder over HTTP: for `micro service --endpoint file:`, and for static sites of the process backend.

Those run it as a program of its own, hence the standard library only. Argument: the folder; it listens where
MICRO_SERVICE_ADDRESS says. Files whose names begin with a dot do not exist for it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import unquote

SHOWN, INDEX = ".well-known", "index.html"
# What a machine without a list of its own does not know; nginx has them.
TYPES = {
    ".avif": "image/avif",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}


def _is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") and part != SHOWN for part in parts)


class Server(ThreadingHTTPServer):
    """A server of HTTP/1.1 behind the gateway, a thread for each connection. Port 0 is a free one."""

    request_queue_size = 128

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Without asking DNS for a name that nobody wants to know."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who leaves before the end of an answer is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(SimpleHTTPRequestHandler):
    """Files, `index.html` of folders, `x.html` for `x`; 404 for the rest."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    index_pages = (INDEX,)
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}
    root: Path

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, directory=str(self.root), **options)

    def send_head(self) -> Any:
        """The file of the path; None once an error has been answered."""
        path = self._file()
        if path is None:
            self.send_error(404)
            return None
        return super().send_head()

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        """What a folder holds is nobody's business."""
        self.send_error(404)

    def _file(self) -> Path | None:
        asked = self.path.partition("?")[0].partition("#")[0]  # as the base class takes it apart
        parts = [part for part in unquote(asked).split("/") if part]
        if _is_hidden(parts) or any("\0" in part for part in parts):
            return None
        path = self.root.joinpath(*parts)
        if not path.exists() and parts and path.with_name(path.name + ".html").is_file():
            self.path = asked.rstrip("/") + ".html"
            path = path.with_name(path.name + ".html")
        index = path / INDEX
        served = index if path.is_dir() and index.exists() else path
        return path if served.exists() and self._is_shown(served.resolve()) else None

    def _is_shown(self, path: Path) -> bool:
        """Whether a file that is there, after all links, is one of the site's: a link may lead to what is not."""
        return path.is_relative_to(self.root) and not _is_hidden(path.relative_to(self.root).parts)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the gateway knows who asked for what."""


def server(folder: Path, host: str, port: int) -> Server:
    """A server of the folder, which listens already. Raises OSError where it may not."""
    return Server(host, port, type("FolderHandler", (Handler,), {"root": folder.resolve()}))


def main(folder: str) -> None:
    """Serve until told to stop."""
    host, _, port = os.environ["MICRO_SERVICE_ADDRESS"].rpartition(":")
    with server(Path(folder), host, int(port)) as serving:
        serving.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
