"""Outside the local profile nobody is in until somebody at the machine makes an operator."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from server import ROOT, Server

PASSWORD = "a long enough phrase"


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """A server of the profile platform, just started for the first time."""
    server = Server(tmp_path_factory.mktemp("platform"), {"MICRO_PROFILE": "platform"})
    server.start()
    yield server
    server.stop()
    server.forget()


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


def test_the_server_says_how_to_make_an_operator_and_tells_no_password(platform):
    text = platform.log.read_text()
    assert f"{ROOT / 'manage.py'} create_operator NAME --email ADDRESS" in text
    assert "admin / micro" not in text


def test_the_default_login_opens_nothing(platform):
    assert platform.micro("login", "--username", "admin", "--password", "micro", check=False).returncode != 0
    assert "Everything on this server" not in admin_after_login(platform, "admin", "micro").text


@pytest.mark.parametrize("password", ["", "short", "password123", "ada@example.org"])
def test_a_password_that_is_easily_guessed_is_refused(platform, password):
    done = create_operator(platform, "ada", password)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_an_operator_enters_by_every_door(platform):
    done = create_operator(platform, "ada", PASSWORD)
    assert done.returncode == 0, done.stderr
    assert "Everything on this server" in admin_after_login(platform, "ada", PASSWORD).text
    platform.micro("login", "--username", "ada", "--password", PASSWORD)
    assert platform.micro("status").returncode == 0
    again = create_operator(platform, "ada", PASSWORD)
    assert again.returncode == 1
    assert "There is a user 'ada' already" in again.stderr
