"""`micro gen` and `micro init`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

IMPORTS = """package main

import (
\t_ "github.com/micro/micro/profile/ci/v3"
\t_ "github.com/micro/micro/profile/platform/v3"
)
"""


@pytest.fixture
def go(tmp_path) -> Path:
    """A folder with a program named go that says what it is given, and ends with 3."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "go").write_text('#!/bin/sh\necho "go $@ in $PWD"\nexit 3\n')
    (folder / "go").chmod(0o755)
    return folder


def test_gen_runs_go_generate_here_and_below_and_ends_as_it_does(stranger, go):
    done = stranger.micro("gen", PATH=f"{go}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (3, f"go generate ./... in {stranger.home}\n")


@pytest.mark.skipif(not shutil.which("go"), reason="go is missing: install it, or as root on Debian say make tools")
def test_gen_runs_what_the_code_says(stranger):
    (stranger.home / "go.mod").write_text("module example.com/x\n\ngo 1.21\n")
    (stranger.home / "below").mkdir()
    (stranger.home / "below" / "main.go").write_text("package below\n\n//go:generate touch made\n")
    done = stranger.micro("gen", GOTOOLCHAIN="local", GOFLAGS="-mod=mod")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (stranger.home / "below" / "made").exists()


def test_gen_names_a_missing_go(stranger, tmp_path):
    done = stranger.micro("gen", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("go is missing, which generates the code: install it from https://go.dev/dl")


@pytest.mark.parametrize(
    "typed", [["--profile=ci,platform"], ["-profile", "ci", "--profile=platform,ci", "--output=stdout"]]
)
def test_init_prints_a_go_file_that_imports_the_profiles(stranger, typed):
    done = stranger.micro("init", *typed)
    assert (done.returncode, done.stdout, done.stderr) == (0, IMPORTS, "")


def test_init_writes_the_file_silently(stranger):
    done = stranger.micro("init", "--profile=ci,platform", "--output", "profile.go")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (stranger.home / "profile.go").read_text() == IMPORTS


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ([], "Say which profiles: micro init --profile=ci,platform."),
        (["--profile=, "], "Say which profiles: micro init --profile=ci,platform."),
        (["--profile=a/b"], "'a/b' is no profile: a name has letters, digits, dots, dashes and underscores."),
        (["--profile=ci", "--output=no/such/folder"], "No/such/folder: No such file or directory"),
    ],
)
def test_init_says_what_is_missing_or_wrong(stranger, typed, text):
    done = stranger.micro("init", *typed)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{text}\n")
