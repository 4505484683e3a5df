"""Serves a folder over HTTP, for static sites of the process backend. A program of its own, standard library only.

Argument: the folder. Listens where MICRO_SERVICE_ADDRESS says. Files whose names begin with a dot do not exist for it.
"""

from __future__ import annotations

import os
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SHOWN = ".well-known"


class Handler(SimpleHTTPRequestHandler):
    """Files, `index.html` of folders, `x.html` for `x`; 404 for the rest."""

    protocol_version = "HTTP/1.1"
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
        parts = [part for part in unquote(urlsplit(self.path).path).split("/") if part]
        if any(part.startswith(".") and part != SHOWN for part in parts) or "\0" in self.path:
            return None
        path = self.root.joinpath(*parts)
        if not path.exists() and parts and path.with_name(path.name + ".html").is_file():
            self.path = urlsplit(self.path).path + ".html"
            path = path.with_name(path.name + ".html")
        return path if path.exists() and path.resolve().is_relative_to(self.root) else None

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the gateway knows who asked for what."""


def main(folder: str) -> None:
    """Serve until told to stop."""
    Handler.root = Path(folder).resolve()
    host, _, port = os.environ["MICRO_SERVICE_ADDRESS"].rpartition(":")
    with ThreadingHTTPServer((host, int(port)), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
