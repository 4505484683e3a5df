"""Somebody at the machine makes an operator, who then enters by every door."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from server import ROOT, Server

PASSWORD = "a long enough phrase"


def create_operator(server: Server, name: str, password: str) -> subprocess.CompletedProcess[str]:
    """What the server's text says, typed beside it."""
    python = Path(sys.executable)
    return subprocess.run(
        [python, ROOT / "manage.py", "create_operator", name, "--email", f"{name}@example.org"],
        check=False,
        env=server.env,
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
    )


def admin_after_login(server: Server, name: str, password: str) -> httpx.Response:
    """The admin's first page, for who logs in to get there."""
    with httpx.Client(base_url=f"http://127.0.0.1:{server.web_port}", follow_redirects=True, timeout=20) as browser:
        form = browser.get("/admin/login/?next=/admin/")
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)[0]
        data = {"csrfmiddlewaretoken": token, "name": name, "password": password, "next": "/admin/"}
        return browser.post("/login", data=data, headers={"Referer": str(form.url)})


@pytest.mark.parametrize("password", ["", "short", "password123", "ada@example.org"])
def test_a_password_that_is_easily_guessed_is_refused(server, password):
    done = create_operator(server, "ada", password)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_an_operator_enters_by_every_door(server, tmp_path):
    done = create_operator(server, "ada", PASSWORD)
    assert done.returncode == 0, done.stderr
    assert "Everything on this server" in admin_after_login(server, "ada", PASSWORD).text
    other = copy.copy(server)
    other.client_home = tmp_path
    other.micro("login", "--username", "ada", "--password", PASSWORD)
    assert other.micro("status").returncode == 0
    again = create_operator(server, "ada", PASSWORD)
    assert again.returncode == 1
    assert "There is a user 'ada' already" in again.stderr
