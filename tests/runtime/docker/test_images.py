"""Images that a real engine builds, of sources in every language."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from building import INDEX_JS, PNPM_7, package, write_source
from docker.types import LogConfig

from micro.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, ResourceExhausted
from runtime import builds
from runtime.backends import containers
from runtime.builds import disks, images, limits

HELLO_GO = 'package main\nimport "fmt"\nfunc main() { fmt.Println("hello from go") }\n'
UUID_GO = 'package main\nimport ("fmt"; "github.com/google/uuid")\nfunc main() { fmt.Println(uuid.Nil) }\n'
SOURCES = {
    "requirements": (
        {
            "requirements.txt": "blinker==1.9.0\n",
            "Procfile": "web: python -c 'import blinker; print(blinker.__name__)'\n",
        },
        "blinker",
    ),
    "pyproject": (
        {
            "pyproject.toml": "[project]\nname='x'\nversion='1'\ndependencies=['blinker==1.9.0']\n[project.scripts]\n"
            "sayit='sayit:main'\n[build-system]\nrequires=['setuptools']\nbuild-backend='setuptools.build_meta'\n",
            "sayit.py": "import blinker\ndef main(): print('said', blinker.__name__)\n",
            "Procfile": "web: sayit\n",
        },
        "said blinker",
    ),
    "micro": ({"main.py": "import micro\nif micro.Service: print('micro is', micro.__name__)\n"}, "micro is micro"),
    "node without a lock": (
        {"package.json": package(), "index.js": INDEX_JS},
        "in ms 1000",
    ),
    "node with a build": (
        {
            "package.json": '{"name":"x","scripts":{"build":"echo 7 >built.txt","start":"cat built.txt"}}',
        },
        "7",
    ),
    "go": ({"go.mod": "module example.com/hello\ngo 1.21\n", "main.go": HELLO_GO}, "hello from go"),
    "go without a go.sum": (
        {
            "go.mod": "module x\ngo 1.21\nrequire github.com/google/uuid v1.6.0\n",
            "main.go": UUID_GO,
        },
        "00000000-0000",
    ),
    "requirements that include others": (
        {
            "requirements.txt": "-r more/base.txt\n",
            "more/base.txt": "blinker==1.9.0\n",
            "main.py": "import blinker\nprint(blinker.__name__)\n",
        },
        "blinker",
    ),
    "yarn 4": (
        {"package.json": package(packageManager="yarn@4.5.0"), "index.js": INDEX_JS},
        "in ms 1000",
    ),
    "pnpm 7": (
        {"package.json": package(), "index.js": INDEX_JS, "pnpm-lock.yaml": PNPM_7},
        "in ms 1000",
    ),
    "go below": ({"go.mod": "module example.com/hello/v2\n", "cmd/x/main.go": HELLO_GO}, "hello from go"),
    "dockerfile": (
        {"Dockerfile": '# syntax=nowhere.invalid/frontend\nFROM debian:bookworm-slim\nCMD ["echo", "from docker"]\n'},
        "from docker",
    ),
}


def built(tmp_path, attempt, files):
    fetched = write_source(tmp_path / "source" / uuid4().hex, files)
    return builds.build(fetched, builds.plan(fetched), attempt)


def output(docker_engine, image: str, command: list[str]) -> str:
    """What a container of the image prints, without a network."""
    log = LogConfig(type="json-file")
    said = docker_engine.containers.run(
        image, command or None, remove=True, network_mode="none", log_config=log, user=containers.NOBODY
    )
    return said.decode()


@pytest.fixture(params=["buildkit", pytest.param("classic", marks=pytest.mark.extended)])
def builder(request, monkeypatch, server) -> str:
    if request.param == "classic":
        monkeypatch.setattr(images, "buildkit_cli", lambda: "")
    elif not images.buildkit_cli():
        pytest.skip("No docker command line with BuildKit is here: apt-get install docker.io, or docker-buildx.")
    return request.param


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_becomes_an_image_that_runs(source, builder, tmp_path, attempt, docker_engine):
    files, words = SOURCES[source]
    artifact = built(tmp_path, attempt, files)
    assert words in output(docker_engine, artifact.image, artifact.command)


def test_a_static_site_serves_its_files_and_none_that_is_hidden_or_elsewhere(server, tmp_path, attempt, docker_engine):
    files = {"index.html": "<p>hi", "about.html": "about\n", ".env": "SECRET", ".git/config": "x", "a/.htpasswd": "y"}
    fetched = write_source(tmp_path / "source", files)
    links = {"passwd": "/etc/passwd", "etc": "/etc", "up": "../../etc/passwd", "hidden": ".env", "inside": "about.html"}
    for name, target in links.items():
        (fetched.root / name).symlink_to(target)
    artifact = builds.build(fetched, builds.plan(fetched), attempt)
    ask = (
        "ls -A /srv /srv/a; PORT=8080 sh -c 'sed s/\\$PORT/8080/ /etc/nginx/micro.conf >/tmp/n; nginx -c /tmp/n'; "
        "for path in about inside passwd etc/passwd up hidden .env a/../.env; do exec 3<>/dev/tcp/127.0.0.1/8080; "
        "printf 'GET /%s HTTP/1.0\\r\\n\\r\\n' $path >&3; head -1 <&3 | sed \"s#^#$path: #\"; done"
    )
    said = output(docker_engine, artifact.image, ["bash", "-c", ask])
    assert "index.html" in said
    assert not {".env", ".git", ".htpasswd", "passwd", "etc", "up"} & set(said.split())
    answers = dict(line.split(": HTTP/1.1 ") for line in said.replace("\r", "").splitlines() if ": HTTP" in line)
    assert {path for path, status in answers.items() if status.startswith("200")} == {"about", "inside"}
    assert len(answers) == 8


def test_unchanged_dependencies_are_not_installed_again(builder, tmp_path, attempt):
    files = {"requirements.txt": "blinker==1.9.0\n", "Procfile": "web: python main.py\n", "main.py": "print(1)\n"}
    built(tmp_path, attempt, files)
    again = replace(attempt, deployment_id=uuid4(), log=tmp_path / "again.log")
    began = time.monotonic()
    built(tmp_path, again, files | {"main.py": "print(2)\n"})
    text = again.log.read_text()
    assert "cache" in text.lower()
    assert "Downloading" not in text
    assert time.monotonic() - began < 10


def test_a_second_attempt_finds_the_image_of_the_first(server, tmp_path, attempt):
    files = {"Dockerfile": "FROM debian:bookworm-slim\n"}
    first = built(tmp_path, attempt, files)
    attempt.log.unlink()
    assert built(tmp_path, attempt, files).image == first.image
    assert not attempt.log.exists()


BROKEN = {
    "no instruction": ("FROM debian:bookworm-slim\nBREW coffee\n", InvalidArgument, "line 2: unknown.*BREW.$"),
    "no such flag": ("# x\nFROM debian:bookworm-slim\n\nCOPY --nope=1 a b\n", InvalidArgument, "line 4: .*nope.$"),
    "half a pair": ("FROM debian:bookworm-slim\nENV A=b\nENV x\n", InvalidArgument, "line 3: ENV must .* arguments.$"),
    "no stage": ("RUN x\nFROM debian:bookworm-slim\n", InvalidArgument, "line 1: .*no build stage"),
    "no port": ("FROM debian:bookworm-slim\nEXPOSE abc\n", InvalidArgument, "line 2: .*abc"),
    "empty": ("\n", InvalidArgument, "parsed"),
    "another frontend": ("//syntax=evil/x\nFROM debian:bookworm-slim\n", InvalidArgument, "//syntax"),
    "failing step": (
        "FROM debian:bookworm-slim\nRUN echo telling words && false\n",
        FailedPrecondition,
        r"\(Dockerfile:2\): .*telling words",
    ),
    "no file": (
        "# x\nFROM debian:bookworm-slim AS build\n\nRUN true && \\\n  true\nCOPY missing.txt   /x/\nRUN true\n",
        FailedPrecondition,
        r"built \(Dockerfile:6\): .*missing\.txt",
    ),
    "no base": ("FROM nowhere.invalid/x:1\n", FailedPrecondition, "nowhere.invalid"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_dockerfile_that_cannot_be_built_says_why(case, builder, tmp_path, attempt):
    text, kind, words = BROKEN[case]
    with pytest.raises(kind, match=words):
        built(tmp_path, attempt, {"Dockerfile": text})


SECRETS = {
    "PIP_INDEX_URL": "https://robot:s3cret%2Fword@index.invalid/simple",
    "HTTP_PROXY": "http://t0ken-alone@proxy.invalid:3128",
}
TELLTALE = """FROM debian:bookworm-slim
ARG PIP_INDEX_URL
RUN echo index $PIP_INDEX_URL proxy $HTTP_PROXY; echo $PIP_INDEX_URL; env | sed s,%2F,/,; false
"""


def test_credentials_in_a_builds_arguments_are_in_neither_its_log_nor_its_error(
    builder, tmp_path, attempt, monkeypatch
):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FailedPrecondition) as failed:
        built(tmp_path, attempt, {"Dockerfile": TELLTALE})
    for said in (attempt.log.read_text(), failed.value.detail):
        assert "index.invalid" in said
        assert not [secret for secret in ("s3cret", "t0ken") if secret in said]


FAILING = {
    "pip": ({"requirements.txt": "blinker==99\n", "main.py": ""}, "No matching distribution found for blinker==99"),
    "npm": ({"package.json": package().replace("2.1.3", "99.0.0")}, r"No matching version found for ms@99\.0\.0"),
    "go": ({"go.mod": "module x\n", "main.go": "package main\nfunc main() { x() }\n"}, "main.go:2:15: undefined: x"),
}


@pytest.mark.parametrize("tool", FAILING)
def test_of_a_tool_that_fails_the_lines_that_say_why_are_quoted(tool, builder, tmp_path, attempt):
    files, words = FAILING[tool]
    with pytest.raises(FailedPrecondition, match=words):
        built(tmp_path, attempt, {"index.js": ""} | files if tool == "npm" else files)


def test_a_dockerfile_that_leads_out_of_the_source_is_refused(server, tmp_path, attempt):
    fetched = write_source(tmp_path / "source", {"x": ""})
    (fetched.root / "Dockerfile").symlink_to("/etc/shadow")
    with pytest.raises(InvalidArgument, match="leads out"):
        builds.build(fetched, builds.plan(fetched), attempt)


def sleepers(marker: str) -> list[str]:
    """Command lines of living processes that hold `marker`."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if marker in line and "docker" not in line]


@pytest.mark.parametrize("builder", ["buildkit", pytest.param("classic", marks=pytest.mark.extended)], indirect=True)
def test_a_build_whose_time_is_over_ends_with_all_its_processes(builder, tmp_path, attempt):
    deadline = time.monotonic() + 4
    marker = str(20_000_000 + int.from_bytes(attempt.deployment_id.bytes[:2], "big"))

    def may_go_on() -> bool:
        if time.monotonic() > deadline:
            raise DeadlineExceeded("too long")
        return True

    with pytest.raises(DeadlineExceeded):
        built(
            tmp_path,
            replace(attempt, may_go_on=may_go_on),
            {"Dockerfile": f"FROM debian:bookworm-slim\nRUN sleep {marker}\n"},
        )
    gone_by = time.monotonic() + 10
    while sleepers(f"sleep {marker}") and time.monotonic() < gone_by:
        time.sleep(0.1)
    assert not sleepers(f"sleep {marker}")


def test_a_build_that_prints_without_end_is_stopped(builder, tmp_path, attempt):
    deadline = time.monotonic() + 5

    def may_go_on() -> bool:
        if time.monotonic() > deadline:
            raise DeadlineExceeded("too long")
        return True

    # BuildKit itself drops what a step prints beyond 1 MiB.
    with pytest.raises(DeadlineExceeded if builder == "buildkit" else ResourceExhausted):
        built(
            tmp_path,
            replace(attempt, may_go_on=may_go_on),
            {"Dockerfile": "FROM debian:bookworm-slim\nRUN yes a-line\n"},
        )
    assert attempt.log.stat().st_size < 2 * limits.LARGEST_LOG_BYTES


def test_a_build_cannot_use_more_memory_than_it_may(builder, tmp_path, attempt, settings):
    settings.MICRO_BUILD_MEMORY_MIB = 100
    hog = f"FROM python:3.11-slim\nRUN python -c \"x = bytearray(300 << 20); print('{attempt.deployment_id}')\"\n"
    with pytest.raises(ResourceExhausted, match=r"more than 100 MiB of memory .*MICRO_BUILD_MEMORY_MIB"):
        built(tmp_path, attempt, {"Dockerfile": hog})


def test_a_build_that_takes_more_disk_than_it_may_is_stopped_and_names_the_setting(
    builder, tmp_path, attempt, settings
):
    settings.MICRO_BUILD_DISK_GIB = 1
    fill = "dd if=/dev/urandom of=/x bs=1M count=4000"
    with pytest.raises(ResourceExhausted, match=r"more than 1 GiB of the engine's disk.*MICRO_BUILD_DISK_GIB"):
        built(tmp_path, attempt, {"Dockerfile": f"FROM debian:bookworm-slim\nRUN {fill} && echo whole\n"})
    assert "whole" not in [line.strip() for line in attempt.log.read_text().splitlines()]


def test_a_build_does_not_take_the_last_of_the_engines_disk(builder, tmp_path, attempt, monkeypatch):
    monkeypatch.setattr(disks, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(ResourceExhausted, match=f"engine's disk, which holds {disks.root()}, is full .*MiB are free"):
        built(tmp_path, attempt, {"Dockerfile": "FROM debian:bookworm-slim\nRUN sleep 60\n"})


def test_a_full_disk_within_a_step_is_named_by_the_line_that_met_it(builder, tmp_path, attempt):
    fill = "head -c 200M /dev/zero >/dev/shm/fill"
    with pytest.raises(ResourceExhausted, match=r"though the engine's own is not: .*[Nn]o space left on device"):
        built(tmp_path, attempt, {"Dockerfile": f"FROM debian:bookworm-slim\nRUN {fill}\n"})
