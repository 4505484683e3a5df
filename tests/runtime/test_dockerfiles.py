"""Dockerfiles made of plans: which languages, which layers, in which order."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from micro.errors import FailedPrecondition, InvalidArgument
from runtime.builds import contexts, detect, dockerfiles, failures, hushed, images, instructions

IMAGES = dockerfiles.Images()
PACKAGE = '{"scripts":{"start":"node x.js"},"dependencies":{"ms":"2"}}'
MAIN_GO = "package main\nfunc main() {}\n"
IMPORTING_GO = """package main

import (
	"fmt"
	own "example.com/web/proto"
	_ "x.y/z/v2" // for its effects
)
import c "a.b/c"
import "C"

func main() { fmt.Println("import") }
"""
NPM = "--no-audit --no-fund"

LAYERS = {
    "requirements": (
        {"requirements.txt": "flask\n", "app.py": "from flask import Flask\napp = Flask('x')\n"},
        ["FROM python", "COPY requirements.txt", "RUN pip -r", "RUN pip gunicorn", "COPY app", "CMD 0.0.0.0:$PORT"],
    ),
    "requirements that include others": (
        {"requirements.txt": "-r more/base.txt\n-c c.txt\n", "more/base.txt": "a\n", "c.txt": "a<2\n", "main.py": ""},
        [
            *("FROM python", "COPY app/requirements.txt", "COPY app/more/base.txt ./more/", "COPY app/c.txt"),
            *("RUN pip -r requirements.txt", "COPY app", "CMD main.py"),
        ],
    ),
    "requirements that include one elsewhere": (
        {"requirements.txt": "-r ../base.txt\n", "main.py": ""},
        ["FROM python", "COPY app", "RUN pip -r", "CMD main.py"],
    ),
    "requirements that name files": (
        {"requirements.txt": "-e ./lib\n", "main.py": ""},
        ["FROM python", "COPY app", "RUN pip -r", "CMD main.py"],
    ),
    "project": (
        {"pyproject.toml": "[project]\nname='x'\ndependencies=['a']\n[build-system]\n", "Procfile": "web: x"},
        ["FROM python", "COPY dependencies.txt", "RUN pip dependencies.txt", "COPY app", "RUN --no-deps", "CMD x"],
    ),
    "list of a project": (
        {"pyproject.toml": "[project]\nname='x'\ndependencies=['a']\n", "main.py": ""},
        ["FROM python", "COPY dependencies.txt", "RUN pip dependencies.txt", "COPY app", "CMD main.py"],
    ),
    "dynamic project": (
        {"pyproject.toml": "[project]\nname='x'\ndynamic=['dependencies']\n[build-system]\n", "Procfile": "web: x"},
        ["FROM python", "COPY app", "RUN pip .", "CMD x"],
    ),
    "micro": (
        {"main.py": "from micro import Service\n"},
        ["FROM python", "COPY micro.whl constraints.txt", "RUN pip micro.whl", "COPY app", "CMD main.py"],
    ),
    "micro, named": (
        {"main.py": "from micro import Service\n", "requirements.txt": "micro\n"},
        [
            *("FROM python", "COPY micro.whl constraints.txt", "RUN pip micro.whl"),
            *("COPY requirements.txt", "RUN --constraint -r requirements.txt", "COPY app", "CMD main.py"),
        ],
    ),
    "node": (
        {"package.json": PACKAGE},
        ["FROM node", "COPY package.json", "RUN npm install", "COPY app", "CMD npm start"],
    ),
    "node, locked": (
        {"package.json": PACKAGE, "package-lock.json": "{}"},
        ["FROM node", "COPY package-lock.json", "RUN npm ci", "COPY app", "CMD npm start"],
    ),
    "node, yarn": (
        {"package.json": PACKAGE, "yarn.lock": ""},
        ["FROM node", "COPY yarn.lock", "RUN yarn --frozen-lockfile", "COPY app", "CMD npm start"],
    ),
    "node, yarn 4": (
        {"package.json": PACKAGE, "yarn.lock": "__metadata:\n  version: 8\n", ".yarnrc.yml": ""},
        [
            "FROM node",
            "COPY yarn.lock .yarnrc.yml",
            "RUN @yarnpkg/cli-dist@4. --immutable",
            "COPY app",
            "CMD npm start",
        ],
    ),
    "node, yarn 4 with patches": (
        {"package.json": PACKAGE, "yarn.lock": "__metadata:\n  version: 8\n", ".yarn/patches/x.patch": ""},
        ["FROM node", "COPY app", "RUN @yarnpkg/cli-dist@4. --immutable", "CMD npm start"],
    ),
    "node, pnpm": (
        {"package.json": PACKAGE, "pnpm-lock.yaml": ""},
        ["FROM node", "COPY pnpm-lock.yaml", "RUN pnpm --frozen-lockfile", "COPY app", "CMD npm start"],
    ),
    "node, built": (
        {"package.json": '{"scripts":{"start":"x","build":"tsc"}}', "package-lock.json": "{}"},
        [
            "FROM node",
            "COPY package.json",
            "RUN --include=dev",
            "COPY app",
            "RUN npm run build",
            "RUN npm prune",
            "CMD",
        ],
    ),
    "node, whose main is built": (
        {"package.json": '{"main":"dist/x.js","scripts":{"build":"tsc"}}'},
        ["FROM node", "COPY package.json", "RUN install", "COPY app", "RUN build", "RUN prune", "CMD node dist/x.js"],
    ),
    "node with a local package": (
        {"package.json": '{"main":"x.js","dependencies":{"a":"file:./a"}}', "x.js": ""},
        ["FROM node", "COPY app", "RUN npm install", "CMD node x.js"],
    ),
    "go": (
        {"go.mod": "module example.com/web/v2\n", "go.sum": "", "main.go": MAIN_GO},
        [
            *("FROM golang", "COPY go.sum", "RUN go mod download", "COPY app", "RUN bin/web ."),
            *("FROM debian", "COPY ca-certificates", "COPY /app", "CMD bin/web"),
        ],
    ),
    "go, importing": (
        {"go.mod": "module example.com/web\n", "go.sum": "", "main.go": IMPORTING_GO, "y_test.go": 'import "a"'},
        [
            *("FROM golang", "COPY go.sum", "RUN go mod download", "RUN -trimpath a.b/c fmt x.y/z/v2 2>", "COPY app"),
            *("RUN bin/web .", "FROM debian", "COPY ca-certificates", "COPY /app", "CMD bin/web"),
        ],
    ),
    "go, importing without a go.sum": (
        {"go.mod": "module web\n", "main.go": IMPORTING_GO},
        [
            *("FROM golang", "COPY go.mod", "RUN go mod download", "RUN -trimpath fmt 2>", "COPY app", "RUN -mod=mod"),
            *("FROM debian", "COPY ca-certificates", "COPY /app", "CMD bin/web"),
        ],
    ),
    "go, without a go.sum": (
        {"go.mod": "module web\nrequire a.b/c v1.0.0\n", "main.go": MAIN_GO},
        [
            *("FROM golang", "COPY go.mod", "RUN go mod download", "COPY app", "RUN -mod=mod bin/web ."),
            *("FROM debian", "COPY ca-certificates", "COPY /app", "CMD bin/web"),
        ],
    ),
    "go, replaced by a folder": (
        {"go.mod": "module x\nreplace y => ../y\n", "cmd/x/main.go": MAIN_GO},
        ["FROM golang", "COPY app", "RUN go mod download", "RUN ./cmd/x", "FROM debian", "COPY", "COPY", "CMD bin/x"],
    ),
    "go with a Procfile": (
        {"go.mod": "module x\n", "main.go": MAIN_GO, "Procfile": "grpc: x --grpc\n"},
        ["FROM golang", "COPY go.mod", "RUN", "COPY app", "RUN", "FROM debian", "COPY", "COPY", "CMD x --grpc"],
    ),
    "static": ({"index.html": ""}, ["FROM nginx", "COPY nginx.conf", "COPY app/", "RUN find", "CMD nginx"]),
    "static, below": (
        {"public/index.html": ""},
        ["FROM nginx", "COPY nginx.conf", "COPY app/public/", "RUN find", "CMD nginx"],
    ),
}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("case", LAYERS)
def test_layers_are_in_the_order_in_which_they_change(case, tmp_path):
    files, expected = LAYERS[case]
    folder = write(tmp_path, files)
    plan = detect.detect(folder, with_images=True)
    listed = detect.listed_dependencies(folder) if plan.dependencies in {".", "pyproject.toml"} else None
    wheel = "micro.whl" if plan.wants_micro else ""
    text = dockerfiles.generate(plan, images=IMAGES, dependencies=listed, wheel=wheel).text
    layers = [line for line in text.splitlines() if line.startswith(("FROM", "COPY", "RUN", "CMD"))]
    assert len(layers) == len(expected), text
    for line, words in zip(layers, expected, strict=True):
        assert all(word in line for word in words.split()), (line, words)


def test_whoever_asks_for_micro_gets_the_platforms_own(tmp_path):
    files = {"main.py": "import micro\n", "pyproject.toml": "[project]\nname='x'\ndependencies=['micro']\n"}
    plan = detect.detect(write(tmp_path, files))
    recipe = dockerfiles.generate(plan, images=IMAGES, dependencies=["micro"], wheel="micro-1-py3-none-any.whl")
    assert recipe.added["constraints.txt"] == "micro @ file:///tmp/micro-1-py3-none-any.whl\n"
    installs = [line for line in recipe.text.splitlines() if " pip install " in line]
    assert len(installs) == 2
    assert all("--constraint /tmp/constraints.txt" in line for line in installs)


@pytest.mark.parametrize(
    ("files", "bases"),
    [
        ({"main.py": ""}, ["my-python"]),
        ({"Procfile": "web: ./x"}, ["my-python"]),
        ({"package.json": PACKAGE}, ["my-node"]),
        ({"go.mod": "module x\n", "main.go": MAIN_GO}, ["my-go AS build", "my-plain"]),
        ({"index.html": ""}, ["my-static"]),
    ],
)
def test_base_images_are_the_operators(files, bases, tmp_path):
    names = ("python", "node", "go", "plain", "static")
    mine = dockerfiles.Images(**{name: f"my-{name}" for name in names})
    text = dockerfiles.generate(detect.detect(write(tmp_path, files)), images=mine).text
    assert [line.removeprefix("FROM ") for line in text.splitlines() if line.startswith("FROM ")] == bases


def test_a_generated_dockerfile_takes_the_package_indexes_that_a_build_is_given(tmp_path):
    for name, files in {
        "Python": {"main.py": ""},
        "Node": {"package.json": PACKAGE},
        "Go": {"go.mod": "module x\n"},
    }.items():
        folder = write(tmp_path / name, files | ({"main.go": MAIN_GO} if name == "Go" else {}))
        lines = dockerfiles.generate(detect.detect(folder), images=IMAGES).text.splitlines()
        assert [f"ARG {index}" for index in dockerfiles.INDEXES[name]] == [x for x in lines if x.startswith("ARG")]
        assert set(dockerfiles.INDEXES[name]) <= set(images.INDEXES)


def test_each_base_image_has_a_setting():
    command = "from project.settings import docker; print(sorted(docker.MICRO_BASE_IMAGES.items()))"
    names = ("python", "node", "go", "plain", "static")
    env = {f"MICRO_IMAGE_{name.upper()}": f"my-{name}" for name in names}
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", command], env=env | path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(sorted((name, f"my-{name}") for name in names))


@pytest.mark.parametrize("line", ["web: echo \"a\" 'b' $PORT\n", "web: x\\\\n && y\n", "web: a\tb # ${HOME}\n"])
def test_a_start_command_of_any_shape_stays_one_word_for_the_shell(line, tmp_path):
    import json

    plan = detect.detect(write(tmp_path, {"Procfile": line}))
    command = dockerfiles.generate(plan, images=IMAGES).text.splitlines()[-1]
    assert json.loads(command.removeprefix("CMD ")) == ["/bin/sh", "-c", plan.line]


def test_hidden_files_of_a_static_site_stay_out_of_the_image(tmp_path):
    recipe = dockerfiles.generate(detect.detect(write(tmp_path, {"index.html": ""})), images=IMAGES)
    assert "app/**/.*" in recipe.ignored
    assert "return 404" in recipe.added["nginx.conf"]


FRONTENDS = {
    "none": ("FROM x\n# syntax=y", "FROM x\n# syntax=y"),
    "syntax": ("# syntax=evil/frontend\nFROM x", "#\nFROM x"),
    "spaced": ("#  SyNtAx = evil\nFROM x", "#\nFROM x"),
    "after escape": ("# escape=`\n#syntax=evil\nFROM x", "# escape=`\n#\nFROM x"),
    "shebang": ("#!/usr/bin/env x\n# syntax=evil\nFROM x", "#\n# syntax=evil\nFROM x"),  # a plain comment ends them
    "check first": ("# check=skip=all\n# syntax=evil\nFROM x", "#\n# syntax=evil\nFROM x"),
    "comment": ("# hello\nFROM x", "#\nFROM x"),
    "blank": ("\n# syntax=evil\nFROM x", "\n# syntax=evil\nFROM x"),
}


@pytest.mark.parametrize("case", FRONTENDS)
def test_no_line_names_another_program_that_reads_the_dockerfile(case):
    text, expected = FRONTENDS[case]
    assert contexts.without_frontend(text) == expected


@pytest.mark.parametrize("text", ["// syntax=evil\nFROM x", '{"syntax": "evil"}', "  //syntax=evil"])
def test_other_ways_of_naming_one_are_refused(text):
    with pytest.raises(InvalidArgument, match="cannot be parsed"):
        contexts.without_frontend(text)


def test_a_build_is_one_command_whose_values_are_in_its_environment(tmp_path, settings):
    staged = contexts.Staged(tmp_path / "context", tmp_path / "Dockerfile")
    order = images.Order(staged, "a/b:1", "host", {"HTTP_PROXY": "http://user:secret@proxy"}, "/group")
    assert images.buildkit_argv("docker", order) == [
        *("docker", "build", "--progress", "plain", "--file", str(tmp_path / "Dockerfile"), "--tag", "a/b:1"),
        *("--network", "host", "--cgroup-parent", "/group", "--build-arg", "HTTP_PROXY", str(tmp_path / "context")),
    ]
    plain = images.buildkit_argv("docker", images.Order(staged, "a/b:1"))
    assert "--network" not in plain
    assert "--cgroup-parent" not in plain


def test_no_value_of_an_argument_is_on_the_command_line_of_either_builder(tmp_path, settings):
    arguments = {"HTTP_PROXY": "http://user:secret@proxy", "PIP_INDEX_URL": "https://token@index/simple"}
    order = images.Order(contexts.Staged(tmp_path / "context", tmp_path / "Dockerfile"), "a/b:1", "", arguments)
    for argv in (images.buildkit_argv("docker", order), images.classic_argv(order)):
        said = " ".join(images.hushed_argv(argv, arguments))
        assert "hushed.py HTTP_PROXY PIP_INDEX_URL -- " in said
        assert not {"secret", "token"} & set(re.split(r"\W", said))
    assert images.hushed_argv(["docker"], {"HTTP_PROXY": "http://proxy:3128"}) == ["docker"]


@pytest.mark.parametrize(
    ("value", "printed", "shown"),
    [
        ("https://me:pa%2Fss@host/x", "index https://me:pa%2Fss@host/x", "index https://\u2026@host/x"),
        ("https://me:pa%2Fss@host/x", "login me, pa/ss", "login me, \u2026"),
        ("http://tok3n@host", "a tok3n", "a \u2026"),
        ("user:secret@host:3128", "http://user:secret@host:3128", "http://\u2026@host:3128"),
        ("http://a:b@one http://c:hidden@two", "http://a:b@one abc hidden", "http://\u2026@one abc \u2026"),
        ("http://host:3128", "http://host:3128", "http://host:3128"),
    ],
)
def test_credentials_of_an_address_are_left_out_of_an_output(value, printed, shown):
    assert hushed.without(hushed.secrets([value]), printed.encode()).decode() == shown


def test_what_a_program_prints_is_passed_on_with_its_status_and_no_secret_is_cut_in_two():
    script = (
        "import sys, time\n"
        "for part in ('begun\\n', 'hi', 'dd', 'en now\\n', 'x' * (3 << 20) + 'hidd', 'en'):\n"
        "    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.05)\n"
        "sys.exit(7)\n"
    )
    argv = images.hushed_argv([sys.executable, "-c", script], {"P": "http://me:hidden@host"})
    done = subprocess.run(argv, capture_output=True, env={"P": "http://me:hidden@host"}, check=False)
    assert done.returncode == 7
    assert done.stdout.decode() == "begun\n\u2026 now\n" + "x" * (3 << 20) + "\u2026"


UNPARSED = {
    "of the engine": (
        "dockerfile parse error line 2: unknown instruction: BREW",
        "",
        ", line 2: unknown instruction: BREW",
    ),
    "of a newer engine": (
        "ERROR: failed to solve: dockerfile parse error on line 2: unknown instruction: BREW",
        "",
        ", line 2: unknown instruction: BREW",
    ),
    "of the classic builder": (
        'ERROR: 400 Client Error: Bad Request ("dockerfile parse error line 3: Unknown flag: nope")',
        "",
        ", line 3: Unknown flag: nope",
    ),
    "found, of the classic builder": ('ERROR: ("failed to parse Dockerfile.micro: USER x")', "", ": USER x"),
    "found": (
        "LLB definition: ENV must have two arguments",
        "FROM x\nENV A=b\n\nENV c\n",
        ", line 4: ENV must have two arguments",
    ),
    "found twice": (
        "LABEL must have two arguments",
        "FROM x\nLABEL a\nLABEL b\n",
        ", line 2 or 3: LABEL must have two arguments",
    ),
    "no stage": (
        "no build stage in current context",
        "# x\nARG A\nRUN x\nRUN y\n",
        ", line 3: no build stage in current context",
    ),
    "a port": ("Invalid containerPort: abc", "FROM x\nEXPOSE 1\nEXPOSE abc\n", ", line 3: Invalid containerPort: abc"),
    "a base": ("base name (${X}) should not be blank", "FROM ${X}\n", ", line 1: base name (${X}) should not be blank"),
    "nothing": ("failed to parse Dockerfile: file with no instructions", "#\n", ": file with no instructions"),
}


@pytest.mark.parametrize("case", UNPARSED)
def test_a_dockerfile_that_cannot_be_parsed_is_named_with_its_line(case, tmp_path):
    said, dockerfile, expected = UNPARSED[case]
    (tmp_path / "log").write_text(f"#2 DONE 0.0s\n{said}\n")
    error = failures.of(tmp_path / "log", dockerfile)
    assert isinstance(error, InvalidArgument)
    assert error.detail == f"The Dockerfile cannot be parsed{expected}."


SIX_STEPS = """# syntax
ARG TAG=1
FROM debian:$TAG AS build

RUN apt-get update && \\
    # a comment within
    apt-get install x

copy missing.txt   /
FROM debian
COPY --from=build /x /x
"""
NOT_FOUND = 'ERROR: failed to solve: failed to compute cache key: "/missing.txt": not found'
FAILED_AT = {
    "classic": ("Step 3/6 : RUN a\nfine\nStep 4/6 : COPY missing.txt /\nERROR: COPY failed: no such file", 9),
    "classic, a step over several lines": ("Step 3/6 : RUN apt-get\nE: x\nERROR: returned a non-zero code: 100", 5),
    "classic, another count": ("Step 3/5 : COPY missing.txt /\nERROR: COPY failed: no such file", 0),
    "buildkit": (f"#5 ERROR: x\n------\n > [build 3/3] COPY missing.txt /:\n------\n{NOT_FOUND}", 9),
    "buildkit, of another stage": (f"------\n > [stage-1 2/2] COPY --from=build /x /x:\n------\n{NOT_FOUND}", 11),
    "buildkit, with a line": (
        f"------\n > [build 3/3] COPY x /:\n------\nDockerfile:9\n----\n   8 |     \n   9 | >>> copy\n{NOT_FOUND}",
        9,
    ),
    "buildkit, of nothing there": (f"------\n > [2/2] RUN what:\n------\n{NOT_FOUND}", 0),
    "nothing": (NOT_FOUND, 0),
}


@pytest.mark.parametrize("case", FAILED_AT)
def test_a_step_that_fails_is_named_by_its_line_of_the_dockerfile(case, tmp_path):
    said, line = FAILED_AT[case]
    (tmp_path / "log").write_text(said)
    reason = failures.of(tmp_path / "log", SIX_STEPS).detail
    assert reason.startswith(
        f"The image could not be built (Dockerfile:{line}): " if line else "The image could not be built: "
    )
    assert "9 | >>>" not in reason
    assert "Dockerfile:" not in failures.of(tmp_path / "log", "").detail


def test_escapes_are_those_that_the_dockerfile_says():
    windows = "# escape=`\nFROM x\nRUN dir c:\\\nRUN a `\n  b\n"
    found = [(each.line, each.words) for each in instructions.read(windows)]
    assert found == [(2, ("FROM", "x")), (3, ("RUN", "dir", "c:\\")), (4, ("RUN", "a", "b"))]


def test_what_a_failed_command_says_of_parsing_is_no_complaint_about_the_dockerfile(tmp_path):
    said = "executor failed running [/bin/sh -c echo unknown instruction: x; false]: exit code: 1"
    (tmp_path / "log").write_text(said)
    assert isinstance(failures.of(tmp_path / "log", "FROM x\n"), FailedPrecondition)
