"""Attacks on what a service's answers are shown to: its own list of origins says, and no other list does."""

from __future__ import annotations

from pathlib import Path

import httpx
from server import Server, eventually

LISTED, OTHER = "https://shop.example", "https://evil.example"
MAIN = """
from dataclasses import dataclass
from micro import Service

@dataclass
class Said:
    msg: str = ""

class Open:
    def call(self, request: Said) -> Said:
        return request

service = Service("open")
service.handle(Open())
service.run()
"""


def ask(server: Server, path: str, origin: str, *, method: str = "POST", host: str = "") -> httpx.Response:
    headers = {"Origin": origin, "Content-Type": "application/json"}
    headers |= {"Host": f"{host}:{server.api_port}"} if host else {}
    url = f"http://127.0.0.1:{server.api_port}{path}"
    return httpx.request(method, url, headers=headers, content=b"{}", timeout=20)


def test_a_services_answers_are_for_the_pages_that_it_lists_and_for_no_platform_service(
    mallory: Server, tmp_path: Path
):
    (tmp_path / "main.py").write_text(MAIN)
    mallory.micro(
        "run", "--name", "open", "--env_vars", f"MICRO_ALLOWED_ORIGINS={LISTED} http://localhost:3000", tmp_path
    )
    host = "open--mallory.localhost"
    eventually(lambda: mallory.get("/", host=host).status_code == 200, 60, "the service runs")
    for method in ("OPTIONS", "POST"):
        shown = ask(mallory, "/", LISTED, method=method, host=host)
        assert (shown.status_code, shown.headers["access-control-allow-origin"]) == (200, LISTED)
        assert "access-control-allow-credentials" not in shown.headers
        assert "access-control-allow-origin" not in ask(mallory, "/", OTHER, method=method, host=host).headers
        assert ask(mallory, "/auth/Auth/Token", LISTED, method=method).status_code == 403
    refused = mallory.micro("run", "--name", "open2", "--env_vars", "MICRO_ALLOWED_ORIGINS=evil", tmp_path, check=False)
    assert refused.returncode != 0
    assert "MICRO_ALLOWED_ORIGINS is a list such as" in refused.stderr
