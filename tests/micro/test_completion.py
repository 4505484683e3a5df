"""Completion, asked for by a real bash."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest

from micro.proto import runtime_pb2
from tests.fakes import FakeDeployment
from tests.micro.conftest import MICRO

ASK = """
source <(micro completion bash)
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_micro_completion micro
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def complete(user):
    """What bash offers after words, the last of which is begun."""

    def complete(*words: str, **env: str) -> list[str]:
        script = ASK.format(words=" ".join(map(shlex.quote, ("micro", *words))))
        path = f"{os.path.dirname(MICRO[0])}:{user.env['PATH']}"  # noqa: PTH120
        done = subprocess.run(
            ["bash", "--norc", "-c", script],
            env=user.env | {"PATH": path} | env, cwd=user.home, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    return complete


def test_commands_subcommands_and_options_are_completed(complete):
    assert {"status", "store", "stream"} <= set(complete("st"))
    assert "kill" not in complete("st")
    assert complete("store", "rea") == ["read"]
    assert "--prefix" in complete("store", "read", "--p")
    assert "--namespace" in complete("--nam")


def test_environments_are_completed(complete, user):
    user.micro("env", "add", "lab", "lab.example:8081")
    assert complete("env", "set", "la") == ["lab"]
    assert complete("-e", "la") == ["lab"]


def test_services_their_methods_and_flags_are_completed(complete, everything, helloworld):
    assert complete("every") == ["everything"]
    assert complete("call", "hello") == ["helloworld"]
    assert complete("call", "everything", "Everything.E") == ["Everything.Each", "Everything.Echo"]
    assert complete("everything", "e") == ["each", "echo"]
    assert complete("everything", "echo", "--home") == ["--home_city", "--home_zip_code"]
    assert complete("helloworld", "--n") == ["--name"]
    assert "--json" in complete("everything", "echo", "--name", "Joe", "--")


def test_the_values_of_flags_are_completed(complete, everything):
    assert complete("everything", "echo", "--colour", "COLOUR_R") == ["COLOUR_RED"]
    assert complete("everything", "echo", "--colour", "=", "COLOUR_R") == ["COLOUR_RED"]
    assert complete("everything", "echo", "--loud", "=", "") == ["true", "false"]
    assert complete("everything", "echo", "--name", "") == []


def test_what_runs_is_completed_where_it_is_meant(complete, sidecar):
    for name, version in (("web", "latest"), ("worker", "v2")):
        service = runtime_pb2.Service(name=name, version=version)
        sidecar.deployments["micro", name, version] = FakeDeployment(service, [("running", {})])
    for command in ("kill", "logs", "status"):
        assert complete(command, "w") == ["web", "worker@v2"], command
    assert complete("kill", "web", "wo") == ["worker@v2"]


def test_plugins_are_completed(complete, tmp_path, user):
    plugin = tmp_path / "micro-greet"
    plugin.write_text("#!/bin/sh\n")
    plugin.chmod(0o755)
    assert complete("gre", PATH=f"{tmp_path}:{os.path.dirname(MICRO[0])}:{user.env['PATH']}") == ["greet"]  # noqa: PTH120


def test_a_server_that_is_away_leaves_what_needs_none(complete):
    assert complete("serv", MICRO_PROXY="127.0.0.1:1") == ["server", "service", "services"]
    assert complete("kill", "", MICRO_PROXY="127.0.0.1:1") == []


def test_the_server_is_not_asked_twice_within_seconds(complete, sidecar, everything):
    assert complete("every") == ["everything"]
    asked = sum(path == "/registry.Registry/ListServices" for path, _ in sidecar.calls)
    assert complete("everyt") == ["everything"]
    assert sum(path == "/registry.Registry/ListServices" for path, _ in sidecar.calls) == asked == 1


def test_what_is_kept_is_the_users_alone(complete, user, everything):
    (user.home / ".micro").rename(user.home / "old")
    complete("every")
    folder = user.home / ".micro" / "completion"
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o600]


def test_the_script_names_each_shell_and_refuses_others(user):
    assert "complete -o nosort" in user.micro("completion", "bash").stdout
    assert user.micro("completion", "zsh").stdout.startswith("#compdef micro")
    assert "complete --no-files --command micro" in user.micro("completion", "fish").stdout
    done = user.micro("completion", "tcsh")
    assert (done.returncode, done.stdout) == (1, "")
    assert "tcsh" in done.stderr


def test_fish_and_zsh_get_the_summaries(user):
    asked = {"_MICRO_COMPLETE": "fish_complete", "COMP_WORDS": "micro store read --ord", "COMP_CWORD": "--ord"}
    assert user.micro(**asked).stdout == "plain,--order\tBy the keys, asc or desc.\n"
    asked = {"_MICRO_COMPLETE": "zsh_complete", "COMP_WORDS": "micro store rea", "COMP_CWORD": "2"}
    assert user.micro(**asked).stdout == "plain\nread\nPrint the value under KEY.\n"


def test_whatever_the_server_is_asked_for_is_an_argument_that_there_is():
    import click

    from micro.cli.completion.answers import ARGUMENTS
    from micro.cli.help import COMMANDS
    from micro.cli.root import cli

    for path in ARGUMENTS:
        *names, argument = path.split()
        if names[0] not in (*COMMANDS, "help"):
            continue  # another release's command
        _, command, rest = cli.resolve_command(click.Context(cli, info_name="micro"), names)
        for name in rest:
            command = command.commands[name]
        assert argument in {param.name for param in command.params}, path


def test_a_tab_in_an_interactive_bash_completes(user, everything):
    with user.at_a_terminal("bash", "--norc", "--noprofile", "-i") as bash:
        bash.type('eval "$(micro completion bash)"; echo rea""dy\n')
        bash.sees("ready")
        bash.type("micro everything ec\t")
        bash.sees("echo ")
        bash.type("--colour COLOUR_R\t")
        bash.sees("--colour COLOUR_RED ")
