"""The server of folders: what it shows of one, and what it never shows."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from micro import file_server
from tests.micro.conftest import eventually


@pytest.fixture
def site(tmp_path):
    files = {
        **{
            "font.woff2": "f",
            "x.mjs": "m",
            "index.html": "home",
            "about.html": "about",
            "a/index.html": "a",
            "b/x.txt": "x",
        },
        **{".env": "SECRET", ".git/config": "SECRET", "a/.htpasswd": "SECRET", ".well-known/security.txt": "call"},
    }
    for name, text in files.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    (tmp_path / "secret").write_text("SECRET")
    (tmp_path / "site" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "site" / "hidden").symlink_to(tmp_path / "site" / ".env")
    (tmp_path / "site" / "inside").symlink_to("about.html")
    (tmp_path / "site" / "c").mkdir()
    (tmp_path / "site" / "c" / "index.html").symlink_to(tmp_path / "secret")
    (tmp_path / "site" / "out").symlink_to(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    argv = [sys.executable, "-P", file_server.__file__, tmp_path / "site"]
    with subprocess.Popen(argv, env={"MICRO_SERVICE_ADDRESS": address}) as server:
        eventually(lambda: not socket.socket().connect_ex(("127.0.0.1", int(address.partition(":")[2]))), within_s=20)
        with httpx.Client(base_url=f"http://{address}", follow_redirects=True) as client:
            yield client
        server.terminate()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "home"),
        ("/about", "about"),
        ("/about.html", "about"),
        ("/a", "a"),
        ("/inside", "about"),
        ("/about?x#y", "about"),
        ("/.well-known/security.txt", "call"),
    ],
)
def test_a_static_site_serves_its_files(site, path, text):
    assert site.get(path).text == text


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/font.woff2", "font/woff2"), ("/x.mjs", "text/javascript")]
)
def test_a_static_site_says_what_its_files_are(site, path, kind):
    assert site.get(path).headers["content-type"] == kind


@pytest.mark.parametrize(
    "path",
    [
        *("/.env", "/.git/config", "/a/.htpasswd", "/%2eenv", "/b/", "/b", "/none", "/link", "/../secret"),
        *("/hidden", "/c/", "/c", "/c/index.html", "/out/secret", "/out/", "//.git/config", "/x.mjs/../.env"),
        *("/%2e%2e/secret", "/a/../.env", "//.env", "/a%2f.htpasswd", "/.well-known/../.env"),
    ],
)
def test_a_static_site_serves_nothing_else(site, path):
    answer = site.send(httpx.Request("GET", httpx.URL(str(site.base_url).rstrip("/"), raw_path=path.encode())))
    assert answer.status_code == 404
    assert "SECRET" not in answer.text


def test_a_static_site_is_read_and_not_written(site):
    head = site.head("/about")
    assert (head.status_code, head.text, head.headers["content-length"]) == (200, "", "5")
    assert [site.request(method, "/about").status_code for method in ("POST", "PUT", "DELETE")] == [501] * 3


def test_two_folders_of_one_process_are_kept_apart(tmp_path):
    servers = []
    with contextlib.ExitStack() as running:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "index.html").write_text(name)
            server = running.enter_context(file_server.server(tmp_path / name, "127.0.0.1", 0))
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            running.callback(server.shutdown)
            servers.append(server)
        shown = [httpx.get(f"http://127.0.0.1:{server.server_address[1]}/").text for server in servers]
    assert shown == ["one", "two"]
