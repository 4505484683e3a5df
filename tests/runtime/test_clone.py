"""Fetching from a real git server."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path
from uuid import uuid4

import pytest
from gitserver import Handler, git_server

from micro.errors import DeadlineExceeded, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from runtime import sources
from runtime.attempts import Attempt
from runtime.sources import addresses, clone, links, tree
from runtime.sources import git as grammar


def fetch(text: str, tmp_path: Path, token: str = "") -> sources.Fetched:
    attempt = Attempt("micro", uuid4(), tmp_path / "log", lambda: True)
    return sources.fetch(text, folder="", attempt=attempt, token=token)


def test_the_default_branch_is_fetched_and_its_commit_named(git, tmp_path):
    commit = git.commit("app", {"main.py": "print(1)\n", "sub/x.txt": "x"})
    fetched = fetch(git.url("app"), tmp_path)
    assert fetched.digest == f"git:{commit}"
    assert (fetched.path / "main.py").read_text() == "print(1)\n"
    assert not (fetched.root / ".git").exists()


def test_a_branch_a_tag_a_commit_and_a_folder_can_be_named(git, tmp_path):
    first = git.commit("app", {"sub/v": "1"}, tag="v1")
    git.commit("app", {"sub/v": "2"})
    git.commit("app", {"sub/v": "3"}, branch="feature/x")
    for ref, content in (("v1", "1"), ("main", "2"), ("feature/x", "3"), (first, "1")):
        fetched = fetch(f"{git.url('app')}/sub@{ref}", tmp_path)
        assert (fetched.path / "v").read_text() == content
    assert (tmp_path / "log").read_text() == ""


def test_a_commit_in_capitals_a_whole_ref_a_pull_request_and_a_tag_with_an_at_can_be_named(git, tmp_path):
    commit = git.commit("app", {"v": "1"}, tag="pkg@1.2.3")
    bare = git.root / "app.git"
    subprocess.run(["git", "update-ref", "refs/pull/7/head", commit], cwd=bare, check=True)
    git.commit("app", {"v": "2"})
    for ref in (commit.upper(), "refs/tags/pkg@1.2.3", "refs/pull/7/head", "pkg@1.2.3"):
        assert (fetch(f"{git.url('app')}@{ref}", tmp_path).path / "v").read_text() == "1"
    assert (fetch(f"{git.url('app')}@refs/heads/main", tmp_path).path / "v").read_text() == "2"


def test_an_abbreviated_commit_is_refused_for_what_it_is(git, tmp_path):
    commit = git.commit("app", {"v": "1"})
    for ref in (commit[:7], commit[:12].upper()):
        with pytest.raises(NotFound, match="give all 40 digits"):
            fetch(f"{git.url('app')}@{ref}", tmp_path)
    git.commit("app", {"v": "branch"}, branch="deadbeef")
    assert (fetch(f"{git.url('app')}@deadbeef", tmp_path).path / "v").read_text() == "branch"


@pytest.mark.parametrize("has_commits", [False, True])
def test_a_repository_with_nothing_on_its_default_branch_is_told_in_a_sentence(git, tmp_path, has_commits):
    if has_commits:
        git.commit("app", {"v": "1"})
    subprocess.run(["git", "init", "-q", "--bare", git.root / "app.git"], check=True)
    subprocess.run(["git", "symbolic-ref", "HEAD", "refs/heads/gone"], cwd=git.root / "app.git", check=True)
    with pytest.raises(NotFound) as told:
        fetch(git.url("app"), tmp_path)
    expected = "has nothing on its default branch: push a commit, or name a branch with @BRANCH."
    assert told.value.detail == f"{git.url('app')} {expected}"


def test_a_web_page_is_told_from_a_repository(git, tmp_path, monkeypatch):
    def page(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html; charset=utf-8")
        handler.end_headers()
        handler.wfile.write(b"<h1>Hello</h1>")

    monkeypatch.setattr(Handler, "do_GET", page)
    with pytest.raises(NotFound, match="is a web page and no git repository"):
        fetch(git.url("app"), tmp_path)


def test_a_repository_that_is_not_there_is_not_found(git, tmp_path):
    with pytest.raises(NotFound, match=r"no-such\.git"):
        fetch(git.url("no-such"), tmp_path)


def test_a_ref_and_a_folder_that_are_not_there_are_named(git, tmp_path):
    git.commit("app", {"x": "1"})
    with pytest.raises(NotFound, match="no-such-branch"):
        fetch(f"{git.url('app')}@no-such-branch", tmp_path)
    assert "no-such-branch" in (tmp_path / "log").read_text()
    with pytest.raises(NotFound, match="no-such-folder"):
        fetch(f"{git.url('app')}/no-such-folder", tmp_path)


def test_a_redirect_to_a_listed_place_is_followed(git, tmp_path):
    git.commit("new", {"x": "1"})
    git.redirects["/old.git"] = f"http://127.0.0.1:{git.port}/new.git"
    assert (fetch(git.url("old"), tmp_path).path / "x").read_text() == "1"


def test_a_private_repository_is_fetched_with_its_token_only_and_the_log_does_not_tell_it(git, tmp_path):
    commit = git.commit("app", {"x": "1"})
    git.logins["/app.git"] = "x-access-token:hunter2"
    with pytest.raises(NotFound, match=r"no public repository .* a private one needs a token"):
        fetch(git.url("app"), tmp_path)
    with pytest.raises(NotFound, match="that the token may read"):
        fetch(git.url("app"), tmp_path, token="wrong")
    for ref in ("", f"@{commit}"):
        assert (fetch(f"{git.url('app')}{ref}", tmp_path, token="hunter2").path / "x").read_text() == "1"
    git.logins["/app.git"] = "joe:secret"
    assert (fetch(git.url("app"), tmp_path, token="joe:secret").path / "x").read_text() == "1"
    assert "hunter2" not in (tmp_path / "log").read_text()


def test_a_token_is_not_shown_to_the_host_that_a_redirect_leads_to(git, tmp_path, settings):
    (tmp_path / "other").mkdir()
    with git_server(tmp_path / "other") as other:
        settings.MICRO_GIT_ALLOW_HOSTS = (f"127.0.0.1:{git.port}", f"127.0.0.1:{other.port}")
        other.commit("new", {"x": "1"})
        git.redirects["/old.git"] = f"http://127.0.0.1:{other.port}/new.git"
        assert (fetch(git.url("old"), tmp_path, token="hunter2").path / "x").read_text() == "1"
        assert git.shown == ["x-access-token:hunter2"]
        assert other.shown == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{canary}/x.git", "https://10.0.0.1/a/b.git", "file:///etc", "//[::1]/a.git"]
)
def test_a_redirect_to_a_place_that_may_not_be_fetched_is_refused_without_a_connection(git, tmp_path, target):
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.3)
        git.redirects["/old.git"] = target.format(canary=canary.getsockname()[1])
        with pytest.raises(InvalidArgument):
            fetch(git.url("old"), tmp_path)
        with pytest.raises(TimeoutError):
            canary.accept()


def test_a_circle_of_redirects_ends(git, tmp_path):
    git.redirects["/old.git"] = f"http://127.0.0.1:{git.port}/old.git"
    with pytest.raises(InvalidArgument, match="more than 5 times"):
        fetch(git.url("old"), tmp_path)


def test_a_name_that_resolves_to_a_private_address_is_refused_without_a_connection(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.3)
        entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", canary.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [entry])
        with pytest.raises(InvalidArgument, match=r"127\.0\.0\.1"):
            fetch("https://rebound.example/a/b.git", tmp_path)
        with pytest.raises(TimeoutError):
            canary.accept()


def test_git_goes_to_the_address_that_was_judged_even_if_the_name_now_means_another(
    git, tmp_path, settings, monkeypatch
):
    """The name does not exist at all for git; only the pin makes it reachable."""
    git.commit("app", {"x": "1"})
    settings.MICRO_GIT_ALLOW_HOSTS = (f"rebound.invalid:{git.port}",)
    monkeypatch.setattr(addresses, "_resolve", lambda _host, _port: ["127.0.0.1"])
    fetched = fetch(f"http://rebound.invalid:{git.port}/app.git", tmp_path)
    assert (fetched.path / "x").read_text() == "1"


def link(git, name: str, **targets: str) -> None:
    """Commit symbolic links by their paths, with two underscores for a slash."""
    work = git.root / f"{name}.work"
    for path, target in targets.items():
        (work / path.replace("__", "/")).symlink_to(target)
    git._git("add", "-A", cwd=work)
    git._git("commit", "-qm", "links", cwd=work)
    git._git("push", "-qf", str(git.root / f"{name}.git"), "main", cwd=work)


def test_a_committed_link_is_what_it_points_to(git, tmp_path):
    git.commit("app", {"lib/a.py": "a", "lib/sub/b.py": "b", "main.py": "m"})
    link(git, "app", entry="main.py", again="entry", vendored="lib", lib__c="../main.py", lib__d="sub")
    fetched = fetch(git.url("app"), tmp_path)
    assert not [path for path in fetched.path.rglob("*") if path.is_symlink()]
    assert (fetched.path / "entry").read_text() == (fetched.path / "again").read_text() == "m"
    assert (fetched.path / "vendored" / "sub" / "b.py").read_text() == "b"
    assert (fetched.path / "vendored" / "c").read_text() == (fetched.path / "lib" / "c").read_text() == "m"
    assert (fetched.path / "vendored" / "d" / "b.py").read_text() == "b"


def test_a_link_to_nothing_and_one_to_a_folder_that_holds_it_are_left_out(git, tmp_path):
    git.commit("app", {"lib/a.py": "a"})
    link(git, "app", gone="nowhere", self=".", loop="loop", lib__up="..", inner=".git/config")
    fetched = fetch(git.url("app"), tmp_path)
    assert sorted(str(path.relative_to(fetched.path)) for path in fetched.path.rglob("*")) == ["lib", "lib/a.py"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd", "/", "lib/../../..", "/proc/self/environ"])
def test_a_link_that_leads_out_of_the_repository_is_refused_by_its_name(git, tmp_path, target):
    git.commit("app", {"lib/a.py": "a"})
    link(git, "app", lib__leak=target)
    with pytest.raises(InvalidArgument, match="lib/leak links to something outside of the repository"):
        fetch(git.url("app"), tmp_path)


def test_links_that_multiply_what_they_point_to_end_at_the_limits_of_a_source(git, tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "MOST_FILES", 500)
    git.commit("app", {f"d{number}/x": "x" for number in range(12)})
    link(git, "app", **{f"d{n}__{side}": f"../d{n + 1}" for n in range(11) for side in ("l", "r")})
    with pytest.raises(ResourceExhausted, match="more files than a source may hold"):
        fetch(git.url("app"), tmp_path)


def test_links_to_nothing_are_counted_too(git, tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "MOST_FILES", 500)
    git.commit("app", {"z/x": "x"})
    nowhere = {f"z__n{number}": "nothing" for number in range(40)}
    link(git, "app", **nowhere, **{f"k{number}": "z" for number in range(40)})
    with pytest.raises(ResourceExhausted, match="more files than a source may hold"):
        fetch(git.url("app"), tmp_path)


def test_links_are_followed_no_further_once_the_deployment_has_ended(git, tmp_path):
    git.commit("app", {"z/x": "x"})
    fetched = fetch(git.url("app"), tmp_path)
    for number in range(links.ASKED_EVERY):
        (fetched.root / f"l{number}").symlink_to("z")
    with pytest.raises(DeadlineExceeded, match="the deployment was ended"):
        links.settle(fetched.root, may_go_on=lambda: False)


def test_a_link_whose_target_no_file_can_have_as_its_name_is_left_out(git, tmp_path):
    git.commit("app", {"x": "1"})
    link(git, "app", odd="n" * 300)
    assert [path.name for path in fetch(git.url("app"), tmp_path).path.iterdir()] == ["x"]


def test_a_source_of_folders_in_folders_is_refused(git, tmp_path):
    git.commit("app", {"/".join(["d"] * 150) + "/x": "1"})
    with pytest.raises(ResourceExhausted, match="more than 100 deep"):
        fetch(git.url("app"), tmp_path)


def test_a_committed_hook_or_filter_does_not_run(git, tmp_path):
    git.commit(
        "app",
        {
            "x": "1",
            ".gitattributes": "* filter=evil\n",
            ".gitmodules": '[submodule "s"]\npath = s\nurl = file:///etc\n',
        },
    )
    fetched = fetch(git.url("app"), tmp_path)
    assert (fetched.path / "x").read_text() == "1"
    assert not (fetched.path / "s").exists()


@pytest.mark.parametrize(
    "url", ["file:///{repo}", "{repo}", "ext::sh -c 'touch {canary}'", "--upload-pack=touch {canary}"]
)
def test_the_command_line_refuses_every_other_transport_even_if_the_grammar_had_let_it_through(git, tmp_path, url):
    git.commit("app", {"x": "1"})
    source = grammar.parse(git.url("app"))
    url = url.format(repo=git.root / "app.git", canary=tmp_path / "canary")
    argv = [*clone.clone_commands(source, "127.0.0.1", tmp_path / "out")[0][:-2], url, str(tmp_path / "out")]
    done = subprocess.run(argv, env=clone.environment("https", tmp_path), capture_output=True, check=False)
    assert done.returncode != 0
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "out" / "x").exists()


def test_nothing_of_the_servers_environment_reaches_git(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:ext")
    monkeypatch.setenv("MICRO_SECRET_KEY", "x")
    env = clone.environment("https", tmp_path)
    assert env["GIT_ALLOW_PROTOCOL"] == "https"
    assert "MICRO_SECRET_KEY" not in env
    assert set(env) - set(clone.CERTIFICATES) <= {
        *("PATH", "HOME", "LANG", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_TERMINAL_PROMPT", "GIT_ASKPASS"),
        *("GIT_ALLOW_PROTOCOL", "GIT_LFS_SKIP_SMUDGE"),
    }


def test_a_repository_that_is_too_large_or_too_slow_ends_with_that_reason(git, tmp_path, monkeypatch):
    (git.root / "large.work").mkdir()
    git._git("init", "-q", "-b", "main", ".", cwd=git.root / "large.work")
    (git.root / "large.work" / "blob").write_bytes(os.urandom(3 << 20))
    git.commit("large", {"x": "1"})
    monkeypatch.setattr(tree, "LARGEST_BYTES", 1 << 20)
    git.commit("large", {"x": "y" * (2 << 20)})
    with pytest.raises(ResourceExhausted, match="larger than"):
        fetch(git.url("large"), tmp_path)
    monkeypatch.undo()


def test_a_server_that_never_answers_ends_with_that_reason(tmp_path, settings, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings.MICRO_GIT_ALLOW_HOSTS = (f"127.0.0.1:{port}",)
        monkeypatch.setattr(clone, "PROBE_TIMEOUT_S", 0.3)
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            fetch(f"http://127.0.0.1:{port}/x.git", tmp_path)


def test_a_clone_that_does_not_end_is_stopped_at_the_limit(tmp_path, settings, monkeypatch):
    """The server answers the question whether the repository is there, and then git never again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings.MICRO_GIT_ALLOW_HOSTS = (f"127.0.0.1:{port}",)
        kept = []

        def serve() -> None:
            first, _address = server.accept()
            first.recv(4096)
            first.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            kept.extend((first, server.accept()[0]))

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setattr(clone, "TIMEOUT", clone.timedelta(seconds=0.5))
        with pytest.raises(DeadlineExceeded, match="longer than"):
            fetch(f"http://127.0.0.1:{port}/x.git", tmp_path)
