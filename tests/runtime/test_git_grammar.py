"""Which sources may be named."""

from __future__ import annotations

import pytest

from micro.errors import InvalidArgument
from runtime.sources import git

LEGAL = {
    "github.com/micro/services/helloworld": ("https://github.com/micro/services", "helloworld", ""),
    "github.com/micro/services/helloworld@v1.2": ("https://github.com/micro/services", "helloworld", "v1.2"),
    "github.com/micro/services": ("https://github.com/micro/services", "", ""),
    "github.com/micro/services/": ("https://github.com/micro/services", "", ""),
    "GitHub.com/micro/services": ("https://github.com/micro/services", "", ""),
    "github.com/micro/services@feature/x": ("https://github.com/micro/services", "", "feature/x"),
    "github.com/micro/services@v1.0.0-rc.1": ("https://github.com/micro/services", "", "v1.0.0-rc.1"),
    "github.com/micro/services@fix#12": None,
    "github.com/micro/services/a/b/c@main": ("https://github.com/micro/services", "a/b/c", "main"),
    "github.com/org/mono/packages/@scope/app": ("https://github.com/org/mono", "packages/@scope/app", ""),
    "github.com/org/mono/packages/@scope/app@v2": ("https://github.com/org/mono", "packages/@scope/app", "v2"),
    "https://github.com/org/repo": ("https://github.com/org/repo", "", ""),
    "https://github.com/org/repo.git": ("https://github.com/org/repo.git", "", ""),
    "https://github.com/org/repo.git/sub/dir@v1": ("https://github.com/org/repo.git", "sub/dir", "v1"),
    "https://github.com:443/org/repo.git": ("https://github.com/org/repo.git", "", ""),
    "https://gitlab.com/group/sub/project.git": ("https://gitlab.com/group/sub/project.git", "", ""),
    "https://gitlab.com/group/sub/project.git/app@main": ("https://gitlab.com/group/sub/project.git", "app", "main"),
    "gitlab.com/group/sub/project.git": ("https://gitlab.com/group/sub/project.git", "", ""),
    "https://codeberg.org/user/repo": None,
    "https://bitbucket.org/team/repo.git": None,
    "https://git.sr.ht/user/repo": None,
    "https://git.sr.ht/~user/repo": None,
    "https://git.example.co.uk/repo.git": ("https://git.example.co.uk/repo.git", "", ""),
    "https://git.example.com/repo": ("https://git.example.com/repo", "", ""),
    "https://xn--bcher-kva.example/a/b.git": None,
    "https://a-b.example.org/a_b/c.d.git": None,
    "https://dev.azure.com/org/project/_git/repo.git": None,
    "https://github.com/org/repo@0123456789abcdef0123456789abcdef01234567": None,
    "https://github.com/org/repo.git@release-2026.11": None,
    "https://github.com/org/repo.git@1.x": None,
    "https://github.com/org/.github": None,
    "https://github.com/org/repo/.config/app": None,
    "https://github.com/org/repo/a+b": None,
    "https://github.com/org/c++.git": None,
    "https://github.com/0x/0.git": None,
    "https://github.com/org/repo/docs.d": None,
    "https://github.com/org/repo@refs/heads/main": None,
    "https://github.com/org/repo@user.name/topic_1": None,
    "https://github.com/org/repo@refs/pull/7/head": ("https://github.com/org/repo", "", "refs/pull/7/head"),
    "https://github.com/org/repo@pkg@1.2.3": ("https://github.com/org/repo", "", "pkg@1.2.3"),
    "https://github.com/org/repo.git@@scope/pkg@1.2.3": ("https://github.com/org/repo.git", "", "@scope/pkg@1.2.3"),
    "github.com/org/mono/packages/@org/app@pkg@1.2": ("https://github.com/org/mono", "packages/@org/app", "pkg@1.2"),
    "https://github.com/org/repo@a=b": None,
    "https://github.com/org/repo@_x": None,
    "https://github.com/Org/Repo": ("https://github.com/Org/Repo", "", ""),
    "https://host1.example/org/repo": None,
    "https://1host.example/org/repo": None,
    "https://sub.sub.sub.example.org/org/repo": None,
    "https://github.com/org/repo/cmd/server": None,
    "https://github.com/org/repo/a-b/c_d/e.f": None,
    "https://github.com/org/repo.js": None,
    "https://github.com/org/repo.js/x": None,
    "https://github.com/org/repo.js@v3": None,
    "https://github.com/postmanlabs/httpbin": None,
    "https://github.com/postmanlabs/httpbin@v0.6.1": None,
    "github.com/postmanlabs/httpbin.git@master": None,
    "http://127.0.0.1:18990/x.git": ("http://127.0.0.1:18990/x.git", "", ""),
    "http://127.0.0.1:18990/x.git/app@main": ("http://127.0.0.1:18990/x.git", "app", "main"),
    "https://git.lan/team/x.git": ("https://git.lan/team/x.git", "", ""),
    "http://git.lan/team/x.git": ("http://git.lan/team/x.git", "", ""),
    "git.lan/team/x": ("https://git.lan/team/x", "", ""),
}
_TRANSPORTS = [
    "ext::sh -c id",
    "ext::id",
    "fd::17",
    "fd::17,18/x",
    "https::https://github.com/a/b",
    "file::/etc",
    "a::b",
]
_SCHEMES = [
    *("file:///etc/passwd", "file://localhost/etc", "/etc/passwd", "./repo", "../repo", "~/repo", "//server/share/x"),
    *(
        "\\\\server\\share",
        "C:\\repo",
        "C:/repo",
        "git://github.com/a/b.git",
        "http://github.com/a/b.git",
        "git+ssh://h.io/a",
    ),
    *("ftp://github.com/a/b.git", "ftps://github.com/a/b", "rsync://github.com/a/b", "ssh://git@github.com/a/b.git"),
    *("ssh+git://github.com/a/b", "git+https://github.com/a/b", "data:text/plain,hi", "javascript:alert(1)"),
    *(
        "git@github.com:a/b.git",
        "github.com:a/b.git",
        "HTTPS://github.com/a/b",
        "https:/github.com/a/b",
        "https:github.com/a/b",
    ),
    *(
        "://github.com/a/b",
        "https//github.com/a/b",
        "unix:///var/run/docker.sock",
        "gopher://x.io/a",
        "dict://x.io/a/b",
    ),
]
_OPTIONS = [
    *(
        "-oProxyCommand=id",
        "--upload-pack=id",
        "--",
        "-",
        "-u/a/b",
        "https://-oProxyCommand=id/a/b",
        "ssh://-oProxyCommand=id/x",
    ),
    *(
        "https://github.com/-a/b",
        "https://github.com/a/-b",
        "https://github.com/a/b/-c",
        "https://github.com/a/--upload-pack=id",
    ),
    *(
        "https://github.com/a/b@-x",
        "https://github.com/a/b@--upload-pack=id",
        "https://github.com/a/b@",
        "https://-github.com/a/b",
    ),
    *("https://github-.com/a/b", "https://github.com/a/b.git#ref:../sub", "https://github.com/a/b@v1:../sub"),
]
_PATHS = [
    *(
        "https://github.com/a/../b",
        "https://github.com/../a/b",
        "https://github.com/a/b/..",
        "https://github.com/a/b/../../c",
    ),
    *(
        "https://github.com/a/./b",
        "https://github.com/a//b",
        "https://github.com//a/b",
        "https://github.com/",
        "https://github.com",
    ),
    *(
        "https://github.com/a/b/.git",
        "https://github.com/a/.git/b",
        "https://github.com/a/%2e%2e/b",
        "https://github.com/a/b%0a",
    ),
    *(
        "https://github.com/a/b%00",
        "https://github.com/a/b?x=1",
        "https://github.com/a/b?token=x",
        "https://github.com/a/b#x",
    ),
    *(
        "https://github.com/a/b;id",
        "https://github.com/a/b|id",
        "https://github.com/a/b&id",
        "https://github.com/a/$(id)",
    ),
    *(
        "https://github.com/a/`id`",
        "https://github.com/a/b c",
        "https://github.com/a/b\tc",
        "https://github.com/a/b\n",
        "\nx",
    ),
    *(
        "https://github.com/a/b\r",
        "https://github.com/a/b\x00",
        "https://github.com/a/b\x7f",
        "https://github.com/a/b'",
        'x"y',
    ),
    *(
        "https://github.com/a/b<c",
        "https://github.com/a/b>c",
        "https://github.com/a/{b}",
        "https://github.com/a/b*",
        "a!b",
    ),
    *(
        "https://github.com\\@evil.com/a/b",
        "https://github.com/a\\b",
        "https://github.com/@a/b",
        "https://github.com/a/@b",
    ),
]
_REFS = [
    f"https://github.com/a/b@{ref}"
    for ref in ("..", "a..b", ".a", "a/.b", "a.lock", "a/", "/a", "a//b", "a~1", "a^", "a:b", "a*", "a[", "a{b")
]
_HOSTS = [
    *(
        "https://u:p@github.com/a/b",
        "https://u@github.com/a/b",
        "https://good.com@evil.com/a/b",
        "https://:p@github.com/a/b",
    ),
    *(
        "https://localhost/a/b",
        "https://localhost:8080/a/b",
        "https://127.0.0.1/a/b",
        "https://127.1/a/b",
        "https://2130706433/a/b",
    ),
    *(
        "https://0x7f.0.0.1/a/b",
        "https://0x7f000001/a/b",
        "https://0177.0.0.1/a/b",
        "https://[::1]/a/b",
        "https://[::]/a/b",
    ),
    *(
        "https://[::ffff:127.0.0.1]/a/b",
        "https://[fe80::1%25eth0]/a/b",
        "https://0/a/b",
        "https://0.0.0.0/a/b",
        "https://10.0.0.1/a/b",
    ),
    *(
        "https://169.254.169.254/latest/meta-data.git",
        "https://192.168.1.1/a/b",
        "https://172.16.0.1/a/b",
        "https://100.64.0.1/a/b",
    ),
    *(
        "https://1.1.1.1/a/b",
        "https://intranet/a/b",
        "https://github.com./a/b",
        "https://.github.com/a/b",
        "https://github..com/a/b",
    ),
    *(
        "https://github.com:0/a/b",
        "https://github.com:22/a/b",
        "https://github.com:25/a/b",
        "https://github.com:6379/a/b",
    ),
    *(
        "https://github.com:80/a/b",
        "https://github.com:8443/a/b",
        "https://github.com:99999/a/b",
        "https://github.com:/a/b",
    ),
    *(
        "https://github.com:0443/a/b",
        "https://github.com:+443/a/b",
        "https://github.com:443:443/a/b",
        "https://g\u0456thub.com/a/b",
    ),
    *(
        "https://github。com/a/b",
        "https://\uff47ithub.com/a/b",
        "https://git_hub.com/a/b",
        "https:///a/b",
        "https://?/a/b",
        "",
    ),
    *(
        "http://127.0.0.1:18991/x.git",
        "http://127.0.0.1/x.git",
        "https://git.lan.evil.com:1/x",
        "https://git.lan:8443/x.git",
    ),
    *(
        "https://github.com/a/b\u202egit",
        "https://github.com/a/\u200bb",
        "https://github.com/a/é",
        "https://" + "a" * 64 + ".com/a/b",
    ),
    "https://github.com/" + "a" * 2048,
]
_MORE = [
    *(
        f"{scheme}://github.com/a/b.git"
        for scheme in ("sftp", "scp", "svn", "hg", "bzr", "smb", "nfs", "ldap", "ws", "wss")
    ),
    *(f"{scheme}://127.0.0.1:18990/x.git" for scheme in ("git", "ssh", "ftp", "file", "HTTP", "hTTp", "http+unix")),
    *(f"https://github.com/a/b{char}c" for char in "^[]()=,:"),
    *(f"https://{host}/a/b" for host in ("127.0.0.1.", "127.0.0.1%00", "0177.1", "0x7f.1", "1.1", "256.256.256.256")),
    *(f"https://{host}/a/b" for host in ("a", "a.b.1", "a-.com", "a.-b.com", "*.github.com", "github.com,evil.com")),
    *(
        f"https://github.com/a/b@{ref}"
        for ref in ("HEAD~", "a@{1}", "@", "@{u}", "a\\b", "a?b", "a..", "-", "a b", "$(id)", "`id`", ";id")
    ),
    *(f"https://github.com/{path}" for path in ("a/..git", "../..", "a/b/../.git", "a/b/.", "./a/b", "a/b//", "%61/b")),
]
REFUSED = [*_MORE, *_TRANSPORTS, *_SCHEMES, *_OPTIONS, *_PATHS, *_REFS, *_HOSTS]


@pytest.fixture(autouse=True)
def listed(settings):
    settings.MICRO_GIT_ALLOW_HOSTS = ("127.0.0.1:18990", "git.lan")


@pytest.fixture
def no_process(monkeypatch):
    """Every process and every socket fails the test."""

    def forbidden(*_args: object, **_options: object) -> None:
        raise AssertionError("A process or socket was made.")

    for name in ("os.posix_spawn", "os.fork", "subprocess.Popen", "socket.socket.connect", "socket.getaddrinfo"):
        monkeypatch.setattr(name, forbidden)


def test_the_corpus_is_as_large_as_it_should_be():
    assert len(set(REFUSED)) >= 200
    assert len(LEGAL) >= 50


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_public_https_repository_is_refused_before_any_process_or_socket(text, no_process):
    with pytest.raises(InvalidArgument) as refused:
        git.parse(text)
    assert refused.value.detail.endswith(".")


@pytest.mark.parametrize("text", LEGAL)
def test_an_honest_source_is_taken_apart(text):
    source = git.parse(text)
    if expected := LEGAL[text]:
        assert (source.url, source.folder, source.ref) == expected


@pytest.mark.parametrize("text", LEGAL)
def test_a_source_in_its_one_spelling_reads_as_itself(text):
    source = git.parse(text)
    if source.folder == "" or source.repository.endswith(".git") or source.repository.count("/") == 1:
        assert git.parse(str(source)) == source


def test_a_password_in_a_url_is_not_repeated():
    with pytest.raises(InvalidArgument) as refused:
        git.parse("https://joe:hunter2@github.com/a/b")
    assert "hunter2" not in refused.value.detail


def test_the_ref_of_the_request_counts_where_the_source_names_none():
    assert git.parse("github.com/a/b", ref="v1").ref == "v1"
    assert git.parse("github.com/a/b@v2", ref="v1").ref == "v2"
    with pytest.raises(InvalidArgument):
        git.parse("github.com/a/b", ref="--upload-pack=id")


def test_the_service_is_named_by_the_last_segment():
    assert git.parse("github.com/micro/services/helloworld@v1").name == "helloworld"
    assert git.parse("https://github.com/org/HttpBin.git").name == "httpbin"
