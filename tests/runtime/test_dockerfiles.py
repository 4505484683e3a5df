"""Dockerfiles made of plans: which languages, which layers, in which order."""

from __future__ import annotations

import pytest

from micro.errors import InvalidArgument
from runtime.builds import detect, dockerfiles, images

IMAGES = dockerfiles.Images()
PACKAGE = '{"scripts":{"start":"node x.js"},"dependencies":{"ms":"2"}}'
MAIN_GO = "package main\nfunc main() {}\n"
NPM = "--no-audit --no-fund"

LAYERS = {
    "requirements": (
        {"requirements.txt": "flask\n", "app.py": "from flask import Flask\napp = Flask('x')\n"},
        ["FROM python", "COPY requirements.txt", "RUN pip -r", "RUN pip gunicorn", "COPY app", "CMD 0.0.0.0:$PORT"],
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
        ["FROM python", "COPY micro.whl", "RUN pip micro.whl", "COPY app", "CMD main.py"],
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
    "go, replaced by a folder": (
        {"go.mod": "module x\nreplace y => ../y\n", "cmd/x/main.go": MAIN_GO},
        ["FROM golang", "COPY app", "RUN go mod download", "RUN ./cmd/x", "FROM debian", "COPY", "COPY", "CMD bin/x"],
    ),
    "go with a Procfile": (
        {"go.mod": "module x\n", "main.go": MAIN_GO, "Procfile": "grpc: x --grpc\n"},
        ["FROM golang", "COPY go.mod", "RUN", "COPY app", "RUN", "FROM debian", "COPY", "COPY", "CMD x --grpc"],
    ),
    "static": ({"index.html": ""}, ["FROM nginx", "COPY nginx.conf", "COPY app/", "CMD nginx"]),
    "static, below": ({"public/index.html": ""}, ["FROM nginx", "COPY nginx.conf", "COPY app/public/", "CMD nginx"]),
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


def test_base_images_are_the_operators(tmp_path):
    plan = detect.detect(write(tmp_path, {"main.py": ""}))
    assert dockerfiles.generate(plan, images=dockerfiles.Images(python="mine:1")).text.startswith("FROM mine:1\n")


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
    assert images.without_frontend(text) == expected


@pytest.mark.parametrize("text", ["// syntax=evil\nFROM x", '{"syntax": "evil"}', "  //syntax=evil"])
def test_other_ways_of_naming_one_are_refused(text):
    with pytest.raises(InvalidArgument, match="cannot be parsed"):
        images.without_frontend(text)


def test_a_build_is_one_command_whose_values_are_in_its_environment(tmp_path, settings):
    staged = images.Staged(tmp_path / "context", tmp_path / "Dockerfile")
    order = images.Order(staged, "a/b:1", "host", {"HTTP_PROXY": "http://user:secret@proxy"}, "/group")
    assert images.buildkit_argv("docker", order) == [
        *("docker", "build", "--progress", "plain", "--file", str(tmp_path / "Dockerfile"), "--tag", "a/b:1"),
        *("--network", "host", "--cgroup-parent", "/group", "--build-arg", "HTTP_PROXY", str(tmp_path / "context")),
    ]
    plain = images.buildkit_argv("docker", images.Order(staged, "a/b:1"))
    assert "--network" not in plain
    assert "--cgroup-parent" not in plain
