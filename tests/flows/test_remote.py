"""The story of a server elsewhere: over TLS, from signing up to a service, and the login by a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from server import MICRO, PASSED_ON, ROOT, Server, eventually, running_server

from tests.certificates import Authority

PASSWORD = "correct horse 7"


@dataclass
class Person:
    """Somebody with a home of their own, and nothing in their environment that says where the server is."""

    home: Path

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)

    @property
    def env(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return passed | {"HOME": str(self.home)}

    def micro(self, *args: str | Path, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MICRO, *map(str, args)],
            check=False,
            input=stdin,
            env=self.env | env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def must(self, *args: str | Path, **options: str) -> str:
        done = self.micro(*args, **options)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [MICRO, *args],
            env=self.env,
            cwd=self.home,
            text=True,
            bufsize=1,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    """A server with a certificate."""
    file = authority.issue()
    settings = {"MICRO_TLS_CERT": str(file), "MICRO_TLS_KEY": str(file.with_suffix(".key"))}
    with running_server(tmp_path_factory.mktemp("remote"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def ann(tmp_path_factory: pytest.TempPathFactory, remote: Server, authority: Authority) -> Person:
    """She has signed up from her own machine."""
    person = Person(tmp_path_factory.mktemp("ann") / "home")
    address = f"https://localhost:{remote.proxy_port}"
    person.must("env", "add", "lan", address, "--ca", authority.file)
    person.must("env", "set", "lan")
    process = person.start("signup", "--email", "ann@example.org", "--password", PASSWORD, "--namespace", "anns")
    mail = remote.home / "mail" / "latest.txt"
    eventually(lambda: mail.exists() and "ann@example.org" in mail.read_text(), 20, "the code is mailed")
    code = re.search(r"^\s+(\d{6})$", mail.read_text(), re.MULTILINE)
    assert code
    out, err = process.communicate(f"{code[1]}\n", timeout=60)
    assert process.returncode == 0, err
    assert out == "\nSignup complete! You're now logged in.\nYour namespace is anns.\n"
    return person


def test_what_is_done_at_home_is_done_over_tls_too(ann: Person, remote: Server):
    assert ann.must("user") == "ann@example.org\n"
    shutil.copytree(ROOT / "examples" / "helloworld", ann.home / "helloworld")
    done = ann.micro("run", "helloworld")
    assert done.returncode == 0, done.stderr
    assert f"running at https://helloworld--anns.localhost:{remote.api_port}" in done.stderr
    assert json.loads(ann.must("helloworld", "--name=Ann"))["msg"] == "Hello Ann"
    assert "helloworld\n" in ann.must("services")
    ann.must("store", "write", "key", "value")
    assert ann.must("store", "read", "key") == "value\n"
    assert "listens on" in ann.must("logs", "helloworld")
    ann.must("vars", "set", "helloworld", "COLOUR=red")
    assert ann.must("vars", "list", "helloworld") == "COLOUR=red\n"
    assert [each["state"] for each in json.loads(ann.must("deployments", "helloworld", "-o", "json"))] == ["live"] * 2
    ann.must("kill", "helloworld")


def test_what_is_kept_of_a_login_is_for_this_server_alone(ann: Person, remote: Server):
    folder = ann.home / ".micro"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    lines = (folder / "tokens").read_text().splitlines()
    assert [line.rpartition(":")[0] for line in lines] == [
        f"micro://https://localhost:{remote.proxy_port}/anns/ann@example.org"
    ]
    assert ann.must("user", "namespace") == "anns\n"
    assert ann.must("-e", "local", "user", "namespace") == "micro\n"


def test_a_server_whose_certificate_nobody_here_vouches_for_is_not_talked_to(
    ann: Person, remote: Server, tmp_path: Path
):
    stranger = Person(tmp_path / "home")
    address = f"https://localhost:{remote.proxy_port}"
    done = stranger.micro("--proxy_address", address, "services")
    assert (done.returncode, done.stdout) == (4, "")
    assert "is signed by an authority that this machine does not know" in done.stderr
    assert done.stderr.count("\n") == 1
    ca = json.loads(ann.must("env", "-o", "json"))[-1]["ca"]
    assert stranger.micro("--proxy_address", address, "services", MICRO_TLS_CA=ca).returncode == 0
    assert stranger.micro("--proxy_address", address, "services", SSL_CERT_FILE=ca).returncode == 0


def test_a_renewed_certificate_is_served_without_a_restart(remote: Server, authority: Authority, ann: Person):
    context = ssl.create_default_context(cafile=str(authority.file))

    def serial() -> object:
        with (
            socket.create_connection(("127.0.0.1", remote.proxy_port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return (secure.getpeercert() or {})["serialNumber"]

    before = serial()
    authority.issue()
    eventually(lambda: serial() != before, 30, "the new certificate is served")
    ann.must("status")


def test_a_login_is_confirmed_in_a_browser(ann: Person, remote: Server):
    ann.must("logout")
    process = ann.start("login", "--browser")
    assert process.stderr
    assert process.stdout
    url = process.stderr.readline().split()[-1]
    code = process.stderr.readline().split()[-1]
    assert url == f"http://localhost:{remote.web_port}/device?code={code}"
    with httpx.Client(follow_redirects=True, trust_env=False, headers={"referer": url}) as browser:
        page = browser.get(url)
        form = {"name": "ann@example.org", "password": PASSWORD, "next": f"/device?code={code}"}
        page = browser.post(page.url.join("/login"), data=form | {"csrfmiddlewaretoken": token(page)})
        assert code in page.text
        assert f"on {socket.gethostname()}" in page.text
        decision = {"code": code, "namespace": "anns", "decision": "confirm", "csrfmiddlewaretoken": token(page)}
        assert "The terminal is logged in" in browser.post(page.url.join("/device"), data=decision).text
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "Successfully logged in to namespace anns.\n", "")
    assert ann.must("user") == "ann@example.org\n"


def test_a_forgotten_password_is_set_anew(ann: Person, remote: Server):
    process = ann.start("signup", "--recover", "--email", "ann@example.org", "--password", "quite another 8")
    mail = remote.home / "mail" / "latest.txt"
    eventually(lambda: "choose a new password" in mail.read_text(), 20, "the code is mailed")
    code = re.search(r"^\s+(\d{6})$", mail.read_text(), re.MULTILINE)
    assert code
    out, err = process.communicate(f"{code[1]}\n", timeout=60)
    assert (process.returncode, out) == (0, "Your password is changed. Log in with `micro login`.\n"), err
    assert ann.micro("login", "--username", "ann@example.org", "--password", PASSWORD).returncode == 1
    ann.must("login", "--username", "ann@example.org", "--password", "quite another 8")


def token(page: httpx.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found, page.text
    return found[1]
