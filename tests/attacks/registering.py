"""Registering nodes over HTTP as an account of any kind, and the programs whose ports are asked for."""

from __future__ import annotations

from pathlib import Path

import httpx
from server import Server

# Says who it is, and listens on a second port, which nobody was told of.
TELLTALE = """
import json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        said = {name: value for name, value in os.environ.items() if name.startswith("MICRO_AUTH") or name == "PORT"}
        body = json.dumps(said | {"SECOND": second.server_address[1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

second = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("SECOND", "0"))), Handler)
threading.Thread(target=second.serve_forever, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def program(folder: Path, text: str) -> Path:
    """A source of one file, which is its own server."""
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(text)
    (folder / "Procfile").write_text("web: python main.py\n")
    return folder


def token(server: Server, name: str, secret: str, *, namespace: str) -> str:
    """An access token of an account."""
    answer = _post(server, "auth/Auth/Token", {"id": name, "secret": secret, "options": {"namespace": namespace}})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"]["access_token"])


def register(server: Server, bearer: str, address: str, *, namespace: str, name: str = "mine") -> httpx.Response:
    """Register `address` as a node that speaks HTTP."""
    node = {"id": f"{name}-{address[:200]}", "address": address}
    service = {"name": name, "protocol": "http", "nodes": [node], "options": {"domain": namespace}}
    return _post(server, "registry/Registry/Register", service, bearer=bearer)


def _post(server: Server, path: str, message: object, *, bearer: str = "") -> httpx.Response:
    headers = {"Micro-Namespace": "micro"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    return httpx.post(f"http://127.0.0.1:{server.api_port}/{path}", json=message, headers=headers, timeout=20)
