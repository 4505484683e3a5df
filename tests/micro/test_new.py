"""`micro new` makes a service to begin with. That it runs is a story of its own."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from micro.cli.scaffolding import LANGUAGES, identifier, scaffold, type_name

TREE = """Creating service foo-bar

.
├── .gitignore
├── README.md
├── main.py
└── test_main.py

Test it, run it and call it:

    cd foo-bar
"""


def test_a_service_is_made_with_its_tree_and_what_comes_next(stranger):
    done = stranger.micro("new", "foo-bar")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(TREE)
    assert re.search(r"micro run \. +# run it\n", done.stdout)
    assert "micro foo-bar call --name=Joe" in done.stdout
    assert 'Service("foo-bar")' in (stranger.home / "foo-bar" / "main.py").read_text()
    assert "class FooBar:" in (stranger.home / "foo-bar" / "main.py").read_text()


def test_a_folder_that_is_there_is_left_alone(stranger):
    (stranger.home / "web").mkdir()
    done = stranger.micro("new", "web")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "web already exists\n")
    assert list((stranger.home / "web").iterdir()) == []


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], "specify service name"),
        (["/srv/web"], "/srv/web is an absolute path"),
        (["Web"], "'Web' cannot name a service"),
        (["store"], "'store' is the platform's own name"),
        (["web", "--lang=cobol"], "cobol"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(stranger, args, text):
    done = stranger.micro("new", *args)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert "--name" not in done.stderr
    assert list(stranger.home.iterdir()) == []


def test_the_python_service_passes_its_own_tests(stranger):
    stranger.micro("new", "below/painter")
    folder = stranger.home / "below" / "painter"
    done = subprocess.run(
        [sys.executable, "-m", "unittest"], cwd=folder, env=stranger.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 3 tests" in done.stderr


@pytest.mark.parametrize("name", ["ping", "request", "none", "2048", "a.b-c", "x"])
def test_any_name_makes_code(name):
    text = scaffold(name, "python")["main.py"]
    assert ast.parse(text)
    classes = re.findall(r"^class (\w+)", text, re.MULTILINE)
    assert len(classes) == len(set(classes)) == 7
    assert identifier(name).isidentifier()
    assert type_name(name).isidentifier()


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_of_the_templates_names_is_left(language):
    for path, text in scaffold("foo-bar", language).items():
        assert "scaffold" not in f"{path}{text}".lower(), path


def test_the_descriptor_in_the_go_code_is_that_of_the_proto():
    """What protoc-gen-go wrote is a serialized descriptor, in which a name cannot just be replaced."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from micro.cli import scaffolding

    literal = scaffolding.RAW_DESCRIPTOR.search(scaffold("foo-bar", "go")["proto/foobar.pb.go"])["literal"]
    file = FileDescriptorProto.FromString(scaffolding._bytes(literal))
    assert (file.name, file.package, file.service[0].name) == ("proto/foobar.proto", "foobar", "FooBar")
    assert file.service[0].method[0].input_type == ".foobar.Request"
    assert file.options.go_package == "example.com/foo-bar/proto"
    assert literal == scaffolding._literal(file.SerializeToString())
