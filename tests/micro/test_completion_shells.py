"""Completion in real shells beside bash's own test: zsh on a terminal, fish, and words that shells split or quote."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from micro.proto import runtime_pb2
from tests.fakes import FakeDeployment
from tests.micro.conftest import MICRO, Terminal

Offered = Callable[..., dict[str, str]]
ECHO = 'micro() { printf "<%s>" "$@"; echo " done"; }\n'


def needs(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is missing: install it (apt-get install -y {program})")
    return path


@pytest.fixture
def path(user) -> str:
    return f"{Path(MICRO[0]).parent}:{user.env['PATH']}"


@pytest.fixture
def fish(user, path) -> Offered:
    """What fish offers on a line, with what it says of each."""
    program = needs("fish")

    def fish(line: str, **env: str) -> dict[str, str]:
        script = f"micro completion fish | source; complete -C {shlex.quote(line)}"
        done = subprocess.run(
            [program, "--no-config", "-c", script],
            env=user.env | {"PATH": path} | env, cwd=user.home, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return {name: said for name, _, said in (offer.partition("\t") for offer in done.stdout.splitlines())}

    return fish


@pytest.fixture
def zsh(user) -> Iterator[Terminal]:
    """A zsh in which `micro` shows its words once it is entered."""
    with user.at_a_terminal(needs("zsh"), "-f", "-i") as zsh:
        zsh.type("PS1=; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D\n")
        zsh.type('eval "$(micro completion zsh)"\n')
        zsh.type(ECHO)
        zsh.type('echo rea""dy\n')
        zsh.sees("ready")
        yield zsh


@pytest.fixture
def bash(user) -> Iterator[Terminal]:
    with user.at_a_terminal("bash", "--norc", "--noprofile", "-i") as bash:
        bash.type('PS1=; eval "$(micro completion bash)"\n')
        bash.type(ECHO)
        bash.type('echo rea""dy\n')
        bash.sees("ready")
        yield bash


@pytest.fixture
def odd_names(sidecar) -> None:
    """What runs has names that shells take apart or quote."""
    for name in ("left:right", "one,two", "three words"):
        service = runtime_pb2.Service(name=name, version="latest")
        sidecar.deployments["micro", name, "latest"] = FakeDeployment(service, [("running", {})])


def completes(shell: Terminal, typed: str, words: list[str]) -> None:
    """Press tab after `typed`, and enter once the shell has done its part."""
    shell.type(f"micro {typed}\t\n")
    shell.sees("".join(f"<{word}>" for word in words) + " done")


def test_fish_completes_commands_subcommands_and_options_with_their_summaries(fish):
    found = fish("micro st")
    assert {"status", "store", "stream"} <= set(found)
    assert found["status"]
    assert "kill" not in found
    assert fish("micro store rea") == {"read": "Print the value under KEY."}
    assert fish("micro store read --ord") == {"--order": "By the keys, asc or desc."}
    assert list(fish("micro -e local store rea")) == ["read"]
    assert list(fish("micro store read --order asc --pre")) == ["--prefix"]


def test_fish_completes_services_methods_flags_and_values_live(fish, everything):
    assert list(fish("micro every")) == ["everything"]
    assert list(fish("micro call everything Everything.E")) == ["Everything.Each", "Everything.Echo"]
    assert list(fish("micro everything ec")) == ["echo"]
    assert list(fish("micro everything echo --home")) == ["--home_city", "--home_zip_code"]
    assert list(fish("micro everything echo --colour COLOUR_R")) == ["COLOUR_RED"]
    assert list(fish("micro everything echo --colour=COLOUR_R")) == ["--colour=COLOUR_RED"]
    assert list(fish("micro logs --output j")) == ["json"]


def test_fish_completes_words_with_colons_commas_and_spaces(fish, odd_names):
    assert list(fish("micro logs left:")) == ["left:right"]
    assert list(fish("micro logs one")) == ["one,two"]
    assert list(fish("micro logs thr")) == ["three words"]
    assert list(fish('micro logs "three w')) == ["three words"]
    assert list(fish("micro logs three\\ w")) == ["three words"]
    assert "left:right" in fish('micro logs "')


def test_fish_completes_folders_and_files_where_they_are_wanted(fish, user):
    (user.home / "greeter").mkdir()
    (user.home / "green.txt").write_text("")
    assert list(fish("micro run gre")) == ["greeter/"]
    assert {"greeter/", "green.txt"} <= set(fish("micro store blob write key gre"))
    assert "green.txt" in fish("micro --c gre")


def test_zsh_completes_commands_options_and_their_values(zsh):
    completes(zsh, "store rea", ["store", "read"])
    completes(zsh, "store read --ord", ["store", "read", "--order"])
    completes(zsh, "logs --output j", ["logs", "--output", "json"])
    completes(zsh, "-e local store rea", ["-e", "local", "store", "read"])


def test_zsh_completes_services_methods_flags_and_values_live(zsh, everything):
    completes(zsh, "every", ["everything"])
    completes(zsh, "everything ec", ["everything", "echo"])
    completes(zsh, "call everything Everything.Ec", ["call", "everything", "Everything.Echo"])
    completes(zsh, "everything echo --home_z", ["everything", "echo", "--home_zip_code"])
    completes(zsh, "everything echo --colour COLOUR_R", ["everything", "echo", "--colour", "COLOUR_RED"])
    completes(zsh, "everything echo --colour=COLOUR_R", ["everything", "echo", "--colour=COLOUR_RED"])
    zsh.type("micro everything e\t\t")
    zsh.sees("each")


def test_zsh_completes_words_with_colons_commas_and_spaces(zsh, odd_names):
    completes(zsh, "logs left:", ["logs", "left:right"])
    completes(zsh, "logs one", ["logs", "one,two"])
    completes(zsh, "logs thr", ["logs", "three words"])
    completes(zsh, "logs three\\ w", ["logs", "three words"])


def test_zsh_completes_folders_and_files_where_they_are_wanted(zsh, user):
    (user.home / "greeter").mkdir()
    (user.home / "grown.txt").write_text("")
    completes(zsh, "run gree", ["run", "greeter"])  # enter takes the slash away
    completes(zsh, "store blob write key gro", ["store", "blob", "write", "key", "grown.txt"])


def test_bash_completes_words_with_colons_commas_and_spaces(bash, odd_names):
    completes(bash, "logs left:", ["logs", "left:right"])
    completes(bash, "logs left:ri", ["logs", "left:right"])
    completes(bash, "logs one", ["logs", "one,two"])
    completes(bash, "logs thr", ["logs", "three words"])
    completes(bash, "logs three\\ w", ["logs", "three words"])
    completes(bash, "logs left:right --fol", ["logs", "left:right", "--follow"])


def test_bash_completes_folders_and_files_where_they_are_wanted(bash, user):
    (user.home / "greeter").mkdir()
    (user.home / "grown.txt").write_text("")
    completes(bash, "run gr", ["run", "greeter/"])
    completes(bash, "store blob write key gro", ["store", "blob", "write", "key", "grown.txt"])


def test_without_a_server_or_after_a_login_has_expired_a_shell_is_not_held_up_or_told(fish, user):
    (user.home / ".micro" / "tokens.json").write_text("")
    began = time.monotonic()
    assert fish("micro kill ", MICRO_PROXY="127.0.0.1:1") == {}
    assert time.monotonic() - began < 20
    for kept in (user.home / ".micro").iterdir():
        if "token" in kept.name:
            kept.write_text(json.dumps({"local": "expired"}))
    assert fish("micro kill ") == {}
    assert list(fish("micro store rea")) == ["read"]
