"""What is understood as a source, and what of a folder is sent."""

from __future__ import annotations

import os
import subprocess
import tarfile

import pytest

from micro.cli import source
from micro.cli.failures import Failure
from micro.cli.session import Session
from micro.errors import InvalidArgument
from micro.home import Config
from tenants.names import PLATFORM_SERVICES, validate_service


def settings(config):
    """The git settings of the environment `local`."""
    session = Session(config_file=str(config.path))
    return session.git_setting


@pytest.fixture
def config(tmp_path):
    return Config(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("text", "name", "version", "location"),
    [
        ("github.com/micro/services/helloworld", "helloworld", "latest", "github.com/micro/services/helloworld"),
        ("github.com/micro/services/helloworld@v1", "helloworld", "v1", "github.com/micro/services/helloworld@v1"),
        ("github.com/a/b", "b", "latest", "github.com/a/b"),
        ("https://git.lan/x/Y.git", "y", "latest", "https://git.lan/x/Y.git"),
        (
            "https://git.lan/x/y.git/apps/shop@feature/z",
            "shop",
            "feature/z",
            "https://git.lan/x/y.git/apps/shop@feature/z",
        ),
        ("http://127.0.0.1:18990/x.git", "x", "latest", "http://127.0.0.1:18990/x.git"),
        ("127.0.0.1:18990/x.git@main", "x", "main", "127.0.0.1:18990/x.git@main"),
        ("github.com/a/b/packages/@org/name@v2", "name", "v2", "github.com/a/b/packages/@org/name@v2"),
        ("github.com/a/b@pkg@1.2.3", "b", "pkg@1.2.3", "github.com/a/b@pkg@1.2.3"),
        ("github.com/a/b@@org/pkg@1.2.3", "b", "@org/pkg@1.2.3", "github.com/a/b@@org/pkg@1.2.3"),
        ("github.com/a/b/packages/@org/name", "name", "latest", "github.com/a/b/packages/@org/name"),
    ],
)
def test_a_place_in_a_repository_is_understood(config, text, name, version, location):
    found = source.resolve(text, settings(config))
    assert (found.name, found.version, found.location) == (name, version, location)
    assert "@v" not in found.shown


@pytest.mark.parametrize("text", ["helloworld", "exampels/web", "exampels/web@v1", "github.com"])
def test_what_is_neither_a_folder_nor_on_a_host_is_refused(config, text):
    with pytest.raises(Failure) as failure:
        source.resolve(text, settings(config))
    assert failure.value.text == f"There is no folder {text} here; a git source looks like github.com/org/repo."


def test_a_bare_name_is_looked_up_below_the_base_url(config):
    config.set("git.baseurl", "git.lan/team/apps")
    assert source.resolve("shop@v1", settings(config)).location == "git.lan/team/apps/shop@v1"
    config.set("git.local.baseurl", "git.lan/other")
    assert source.resolve("shop", settings(config)).location == "git.lan/other/shop"


def test_credentials_go_to_their_host_alone(config):
    config.set("git.credentials.github", "token")
    github, other = (source.resolve(f"{host}/a/b", settings(config)) for host in ("github.com", "gitlab.com"))
    evil = source.resolve("github.com.evil.example/a/b", settings(config))
    assert [source.credentials(each, settings(config)) for each in (github, other, evil)] == ["token", "", ""]


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [("shop", "shop", "latest"), ("shop@v1", "shop", "v1"), ("shop@feature/x", "shop", "feature/x")],
)
def test_a_service_is_named_with_its_version(text, name, version):
    assert source.named(text) == (name, version)


def test_a_folder_may_stand_for_its_service(tmp_path, monkeypatch):
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    assert source.named(".") == source.named("../shop") == source.named(str(tmp_path / "shop")) == ("shop", "latest")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("myproj_api", "myproj-api"),
        ("My Project", "my-project"),
        ("micro.services", "micro-services"),
        ("_a__b.-c_", "a-b-c"),
        ("shop", "shop"),
        ("...", ""),
    ],
)
def test_a_service_name_is_made_of_a_folders(tmp_path, config, text, name):
    assert source.fit(text) == name
    if name:
        (tmp_path / text).mkdir()
        assert source.resolve(str(tmp_path / text), settings(config)).name == name
        assert source.named(str(tmp_path / text)) == (name, "latest")
        assert source.resolve(f"git.lan/a/{text}.git", settings(config)).name == name


@pytest.mark.parametrize("name", ["Shop", "a b", "a--b", "a..b", "-a", "a-", "größe", "runtime", "grpc.x", "x" * 57])
def test_the_name_of_no_service_is_refused_as_the_server_refuses_it(name):
    with pytest.raises(Failure, match="--name"):
        source.require_name(name, "micro")
    with pytest.raises(InvalidArgument):
        validate_service(name, namespace="micro")


@pytest.mark.parametrize("name", ["a", "0", "a.b", "a-b", "x" * 56, "x." + "x" * 61])
def test_a_name_that_the_server_takes_is_taken(name):
    source.require_name(name, "micro")
    validate_service(name, namespace="micro")


def test_the_platforms_own_names_are_the_servers():
    for name in PLATFORM_SERVICES:
        with pytest.raises(Failure, match="the platform's own"):
            source.require_name(name, "micro")


def names(folder) -> list[str]:
    packed = source.archive(folder)
    packed.file.seek(0)
    with tarfile.open(fileobj=packed.file, mode="r:") as tar:
        return tar.getnames()


def write(folder, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def test_a_folder_without_git_is_sent_without_rubbish(tmp_path):
    write(tmp_path, "main.py", "lib/a.py", ".venv/x", "__pycache__/y", "node_modules/z", ".env")
    assert names(tmp_path) == [".env", "lib/a.py", "main.py"]


def test_a_folder_within_a_work_tree_is_sent_without_what_git_ignores(tmp_path):
    app = tmp_path / "apps" / "shop"
    write(tmp_path, "outside.py", ".gitignore")
    write(app, "main.py", "new.py", "secret.txt", "gone.py", "sub/.venv/x")
    (tmp_path / ".gitignore").write_text("secret.txt\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "apps/shop/main.py", "apps/shop/gone.py"], check=True)
    (app / "gone.py").unlink()
    assert names(app) == ["main.py", "new.py"]


def test_the_same_files_make_the_same_bytes(tmp_path):
    write(tmp_path, "b", "a", "c/d")
    first, second = (b"".join(source.archive(tmp_path).chunks()) for _ in range(2))
    assert first == second


def test_links_are_sent_as_what_they_point_to_and_never_lead_out(tmp_path):
    app = tmp_path / "app"
    write(app, "main.py")
    (app / "link.py").symlink_to("main.py")
    packed = source.archive(app)
    packed.file.seek(0)
    with tarfile.open(fileobj=packed.file, mode="r:") as tar:
        assert all(member.isreg() for member in tar)
    write(tmp_path, "outside")
    (app / "leak").symlink_to("../outside")
    with pytest.raises(Failure, match="leak links to something outside"):
        source.archive(app)


@pytest.mark.parametrize("has_git", [False, True])
def test_a_link_to_a_folder_is_sent_as_that_folder_and_one_that_leads_out_is_refused(tmp_path, has_git):
    app = tmp_path / "app"
    write(app, "lib/a.py", "lib/sub/b.py", "main.py")
    (app / "vendored").symlink_to("lib")
    (app / "self").symlink_to(".")
    if has_git:
        subprocess.run(["git", "init", "-q", app], check=True)
    own = ["lib/a.py", "lib/sub/b.py", "main.py"]
    assert names(app) == [*own, "vendored/a.py", "vendored/sub/b.py"]
    (app / "leak").symlink_to(tmp_path)
    with pytest.raises(Failure, match="leak links to something outside"):
        source.archive(app)


@pytest.mark.parametrize("has_git", [False, True])
def test_an_environment_in_the_folder_is_left_out_whatever_its_name(tmp_path, has_git):
    write(tmp_path, "main.py", "venv/pyvenv.cfg", "venv/lib/x.py", "tools/my env/pyvenv.cfg", "tools/my env/y.py")
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "bin" / "python").symlink_to("/usr/bin/env")
    write(tmp_path, "venvs/z.py")
    if has_git:
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert names(tmp_path) == ["main.py", "venvs/z.py"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a work tree of another user's")
def test_ignored_files_of_a_work_tree_of_another_users_stay_here(tmp_path):
    write(tmp_path, "main.py", "secret.txt")
    (tmp_path / ".gitignore").write_text("secret.txt\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["chown", "-R", "nobody", tmp_path], check=True)
    assert names(tmp_path) == [".gitignore", "main.py"]


def test_nothing_is_sent_where_git_cannot_say_what_it_ignores(tmp_path):
    write(tmp_path, "main.py", "secret.txt")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".git" / "index").write_bytes(b"broken")
    with pytest.raises(Failure, match=r"git cannot say which files of .* it ignores \(.*index"):
        source.archive(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(Failure, match="There is nothing in"):
        source.archive(tmp_path)


def test_a_file_is_not_a_folder(tmp_path, config):
    write(tmp_path, "main.py")
    with pytest.raises(Failure, match="is a file"):
        source.resolve(str(tmp_path / "main.py"), settings(config))
