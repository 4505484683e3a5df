"""examples/web is plain HTTP: nothing in it knows of Micro."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

WEB = Path(__file__).parents[2] / "examples" / "web"


@pytest.fixture
def web():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert (WEB / "Procfile").read_text() == "web: python main.py\n"
    process = subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=WEB,
        env={"PORT": str(port), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "listens" in process.stdout.readline()
    yield process, f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_it_shows_a_page_and_answers_json_with_its_version(web):
    _, url = web
    page = httpx.get(url)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    answer = httpx.get(f"{url}/api/hello?name=Joe").json()
    assert answer["msg"] == "Hello Joe"
    assert f"version {answer['version']}" in page.text
    assert 'href="/' not in page.text  # below a prefix, links have to be relative
    assert httpx.get(f"{url}/nosuch").status_code == 404


def test_it_stops_on_sigterm(web):
    process, url = web
    with httpx.Client() as client:
        client.get(url)
        threading.Timer(0.1, process.terminate).start()
        started = time.monotonic()
        process.wait(10)
        assert time.monotonic() - started < 6
