"""Plain HTTP with nothing but the standard library: a page and a JSON endpoint."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "1.0"

PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Hello from Micro</title>
<style>body {{ font: 1.2rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem }}</style>
<h1>It runs.</h1>
<p>This page is version {VERSION} of <code>examples/web</code>. Change <code>main.py</code>, then say
<code>micro update examples/web</code>: visitors notice the new version and no interruption.</p>
<p>The same as JSON: <a href="api/hello?name=Joe">api/hello?name=Joe</a></p>
</html>
"""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page, the JSON endpoint, or 404."""
        path, _, query = self.path.partition("?")
        if path == "/":
            self.answer(200, "text/html; charset=utf-8", PAGE)
        elif path == "/api/hello":
            name = next((pair.removeprefix("name=") for pair in query.split("&") if pair.startswith("name=")), "World")
            self.answer(200, "application/json", json.dumps({"msg": f"Hello {name}", "version": VERSION}))
        else:
            self.answer(404, "text/plain; charset=utf-8", f"There is nothing at {path}.\n")

    def answer(self, status: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    host, _, port = os.environ.get("MICRO_SERVICE_ADDRESS", "127.0.0.1:8000").rpartition(":")
    print(f"web {VERSION} listens on {host}:{port}", flush=True)
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
