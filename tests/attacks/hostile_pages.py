"""Pages that mean ill: those of a service that a tenant runs, and those of an unrelated server, in a real Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from browsing import chromium
from playwright.sync_api import Browser, BrowserContext, Page
from server import Server, eventually

SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Safari/605.1.15"
)
SERVICE = '''
import http.server, json, os
from urllib.parse import parse_qsl

SEEN = []

class Handler(http.server.BaseHTTPRequestHandler):
    """Serves a page, tells which cookies arrived, and answers with the headers that the query asks for."""

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/seen":
            body = json.dumps(SEEN).encode()
        else:
            SEEN.extend(self.headers.get_all("Cookie") or [])
            body = b"<!doctype html><title>evil</title>"
        self.send_response(200)
        for name, value in parse_qsl(query):
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args): pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


def deploy(server: Server, folder: Path, namespace: str) -> None:
    """Run the hostile service `evil` as this user."""
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(SERVICE)
    (folder / "Procfile").write_text("web: python main.py\n")
    server.micro("run", "--name", "evil", folder)
    host = f"evil--{namespace}.localhost"
    eventually(lambda: server.get("/seen", host=host).status_code == 200, 60, "the hostile service runs")


@contextmanager
def unrelated_site() -> Iterator[int]:
    """The port of a server that has nothing to do with ours, and serves an empty page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title>")

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def deceived_chromium() -> Iterator[Browser]:
    """A browser to which the attacker's name means this machine, as DNS rebinding does it."""
    with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as browser:
        yield browser


@dataclass
class Victim:
    """The operator at a browser. `answers` has the status and URL of whatever came back, shown to the page or not."""

    server: Server
    context: BrowserContext
    page: Page = field(init=False)
    answers: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.asked: dict[str, str] = {}
        wire = self.context.new_cdp_session(self.page)
        wire.on("Network.requestWillBeSent", self._asks)
        wire.on("Network.responseReceivedExtraInfo", self._is_answered)
        wire.send("Network.enable")

    def log_in(self, host: str = "localhost") -> None:
        """As the operator, at the address that everybody types."""
        self.page.goto(f"http://{host}:{self.server.web_port}/login")
        self.page.get_by_label("E-mail address or name").fill("admin")
        self.page.get_by_label("Password").fill("micro")
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url("**/n/micro/")

    def lure(self, url: str) -> None:
        """Get the victim to open a page of the attacker's."""
        answer = self.page.goto(url)
        assert answer, url
        assert answer.ok, (url, answer.status)
        assert self.page.title() == "evil"
        self.answers.clear()

    def submit(self, script: str, *arguments: str) -> int:
        """Have the page send a form; the status of what the browser shows then."""
        with self.page.expect_navigation() as waited:
            self.page.evaluate(script, list(arguments))
        return waited.value.status

    def _asks(self, event: dict[str, Any]) -> None:
        self.asked[event["requestId"]] = event["request"]["url"]

    def _is_answered(self, event: dict[str, Any]) -> None:
        self.answers.append((event["statusCode"], self.asked.get(event["requestId"], "")))


def doors(server: Server) -> dict[str, int]:
    """The gateway's ports by name."""
    return {"api": server.api_port, "proxy": server.proxy_port, "network": server.network_port}
