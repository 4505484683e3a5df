"""Builds with the toolchains of this machine."""

from __future__ import annotations

import pytest
from building import build_in_place, printed_by, write_source

from micro.errors import FailedPrecondition
from runtime import builds, folders
from runtime.builds import toolchains

IMPORTING_GO = 'package main\nimport ("fmt"; "github.com/google/uuid")\nfunc main() { fmt.Println("uuid", uuid.Nil) }\n'
SOURCES = {
    "node": (
        {"package.json": '{"scripts":{"build":"echo 7 >built","start":"cat built"}}'},
        "7",
    ),
    "go": (
        {"go.mod": "module x\n", "main.go": 'package main\nimport "fmt"\nfunc main() { fmt.Println("from go") }\n'},
        "from go",
    ),
    "go without a go.sum": (
        {"go.mod": "module x\nrequire github.com/google/uuid v1.6.0\n", "main.go": IMPORTING_GO},
        "uuid 00000000",
    ),
    "go without a list of modules": ({"go.mod": "module x\n", "main.go": IMPORTING_GO}, "uuid 00000000"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_built_in_place_and_started(name, tmp_path, attempt):
    files, words = SOURCES[name]
    assert words in printed_by(write_source(tmp_path / "source", files), attempt)


@pytest.mark.parametrize("name", SOURCES)
def test_so_it_is_within_walls_and_twice_from_a_cache(name, walls, tmp_path, attempt):
    files, words = SOURCES[name]
    for folder in ("one", "two"):
        assert words in printed_by(write_source(tmp_path / folder, files), attempt)
    assert (folders.home() / "caches" / "acme").is_dir()


def test_a_toolchain_that_is_not_there_is_named_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchains, "_find", lambda tool: None)
    with pytest.raises(FailedPrecondition, match=r"Go \(from go.mod\) needs go, .*`apt-get install golang`"):
        builds.plan(write_source(tmp_path, SOURCES["go"][0]))


def test_a_build_command_that_fails_is_named(tmp_path, attempt):
    files = {"package.json": '{"scripts":{"build":"echo telling; false","start":"x"}}'}
    with pytest.raises(FailedPrecondition, match=r"`npm run build` failed: .*telling"):
        build_in_place(write_source(tmp_path / "source", files), attempt)


FAILING = {
    "npm": (
        {"package.json": '{"main":"x.js","dependencies":{"ms":"99.0.0"}}', "x.js": ""},
        "version found for ms@99.0.0",
    ),
    "go": ({"go.mod": "module x\n", "main.go": "package main\nfunc main() { x() }\n"}, "main.go:2:15: undefined: x"),
}


@pytest.mark.parametrize("tool", FAILING)
def test_of_a_tool_that_fails_in_place_the_lines_that_say_why_are_quoted(tool, tmp_path, attempt):
    files, words = FAILING[tool]
    with pytest.raises(FailedPrecondition, match=words):
        build_in_place(write_source(tmp_path / "source", files), attempt)
