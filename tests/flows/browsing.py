"""A real Chromium for the web's stories, or none: then they are skipped by name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from server import Server

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
NO_CHROMIUM = "Chromium is missing; install it (apt-get install -y chromium) to run the stories of the web pages"
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PASSWORD = "correct horse 7"


def require_chromium() -> None:
    """Skip the test where there is no browser."""
    if not Path(CHROMIUM).exists():
        pytest.skip(NO_CHROMIUM)


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A browser for as long as the context lasts."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *options])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """Somebody at a browser. `noticed` collects what should not be: script errors, refused loads, foreign hosts."""

    server: Server
    context: BrowserContext
    page: Page = field(init=False)
    noticed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("pageerror", lambda error: self.noticed.append(f"error: {error}"))
        self.page.on("console", self._hear)
        self.page.on("request", self._see)

    @property
    def base(self) -> str:
        """Where the pages are for a browser that knows names below localhost."""
        return f"http://app.localhost:{self.server.web_port}"

    def go(self, path: str) -> Any:
        """Open a page; the answer."""
        return self.page.goto(self.base + path)

    def mailed_code(self, email: str) -> str:
        """The code in the last e-mail, which went to this address."""
        text = (self.server.home / "mail" / "latest.txt").read_text()
        assert f"To: {email}" in text
        found = re.search(r"^\s+(\d{6})$", text, re.MULTILINE)
        assert found, text
        return found[1]

    def sign_up(self, email: str, namespace: str) -> None:
        """From the first page to a namespace of one's own."""
        self.go("/")
        self.page.get_by_role("link", name="Sign up").first.click()
        self.page.get_by_label("E-mail address").fill(email)
        self.page.get_by_role("button", name="Send me a code").click()
        self.page.get_by_label("Code from the e-mail").fill(self.mailed_code(email))
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_label("Name of your namespace").fill(namespace)
        self.page.get_by_role("button", name="Make my account").click()
        self.page.wait_for_url(f"**/n/{namespace}/")

    def deploy(self, url: str, **fields: str) -> None:
        """Fill in the deploy form of the namespace one is in."""
        self.page.get_by_role("link", name="Deploy", exact=True).first.click()
        self.page.get_by_label("Git repository").fill(url)
        for label, value in fields.items():
            self.page.get_by_label(label).fill(value)
        self.page.get_by_role("button", name="Deploy", exact=True).click()

    def _hear(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.noticed.append(message.text)

    def _see(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:")) and f":{self.server.api_port}" not in request.url:
            self.noticed.append(f"asked another host: {request.url}")
