"""Help teaches, and is quick because nothing is imported for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from micro.cli.help import COMMANDS
from micro.cli.root import cli


def test_help_has_micros_sections_and_says_where_to_start(stranger):
    for spelling in ("--help", "-h", "help", "h", "-help"):
        done = stranger.micro(spelling)
        assert done.returncode == 0, spelling
        for part in ("COMMANDS:", "GLOBAL OPTIONS:", "VERSION:", "micro run ./helloworld", "micro login"):
            assert part in done.stdout, spelling


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(stranger, command):
    done = stranger.micro(command, "--help")
    assert done.returncode == 0
    assert f"   micro {command} -" in done.stdout
    assert stranger.micro("help", command).stdout == done.stdout


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_summary_in_the_list_is_the_commands_own_or_longer(command):
    import importlib

    from micro.cli.commands import texts

    module, summary = COMMANDS[command]
    own = texts(getattr(importlib.import_module(f"micro.cli.{module}"), command))[0]
    assert summary.startswith(own.split(" that ")[0].split(",")[0]) or own.startswith(summary)


def test_no_command_is_an_error(stranger):
    done = stranger.micro()
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "No command provided to micro. Please refer to 'micro --help'\n",
    )


@pytest.mark.parametrize("typed", ["auth", "auth create", "config", "store", "store blob", "user set", "get"])
def test_a_command_that_only_has_subcommands_shows_its_help_when_none_is_named(stranger, typed):
    done = stranger.micro(*typed.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert "COMMANDS:" in done.stdout
    assert done.stdout == stranger.micro(*typed.split(), "--help").stdout


@pytest.mark.parametrize("word", ["help", "h"])
def test_help_is_a_word_behind_each_command_that_has_subcommands(stranger, word):
    assert stranger.micro("auth", word).stdout == stranger.micro("auth", "--help").stdout
    done = stranger.micro("auth", word, "create", "rule")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == stranger.micro("help", "auth", "create", "rule").stdout
    assert "   micro auth create rule -" in done.stdout


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("config nosuch", "micro config: nosuch. Please refer to 'micro config --help'"),
        ("auth list people", "micro auth list: people. Please refer to 'micro auth list --help'"),
        ("auth list account", "micro auth list: account. Please refer to 'micro auth list --help'\n"
         "Did you mean `micro auth list accounts`?"),
        ("config delete a", "micro config: delete. Please refer to 'micro config --help'\n"
         "Did you mean `micro config del`?"),
        ("env nosuch", "micro env: nosuch. Please refer to 'micro env --help'"),
        ("store Read", "micro store: Read. Please refer to 'micro store --help'\nDid you mean `micro store read`?"),
    ],
)  # fmt: skip
def test_an_unknown_subcommand_is_named_with_the_one_that_is_spelled_nearly_so(stranger, typed, text):
    done = stranger.micro(*typed.split())
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Unrecognized subcommand for {text}\n")


def test_no_option_is_suggested_that_help_does_not_show(stranger):
    done = stranger.micro("run", "--forc", ".")
    assert "No such option '--forc'" in done.stderr
    assert "--force" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "named", "way_out"),
    [
        ("run --nosuch .", "--nosuch", "Please refer to 'micro run --help'"),
        ("env get more", "more", "Please refer to 'micro env get --help'"),
        ("auth create rule --priority=high a", "'high' is no whole number.",
         "Please refer to 'micro auth create rule --help'"),
        ("auth create rule --priority=99999999999 a", "99999999999", "Please refer to 'micro auth create rule --help'"),
        ("store list --limit -1", "-1 is too small: 0 is the least.", "Please refer to 'micro store list --help'"),
        ("store list --limit 9223372036854775808", "9223372036854775808", "Please refer to 'micro store list --help'"),
        ("config history -n 9223372036854775808", "92233720", "Please refer to 'micro config history --help'"),
        ("events read --limit -1 t", "-1 is too small", "Please refer to 'micro events read --help'"),
        ("events consume --after 9223372036854775808 t", "too large", "Please refer to 'micro events consume --help'"),
        ("events dead --id 9223372036854775808 t", "too large", "Please refer to 'micro events dead --help'"),
        ("broker subscribe -n -1 t", "-1 is too small", "Please refer to 'micro broker subscribe --help'"),
        ("logs -n 9223372036854775808 a", "too large", "Please refer to 'micro logs --help'"),
        ("run --instances 9223372036854775808 .", "too large", "Please refer to 'micro run --help'"),
        ("tokens create --days=99999999999 a", "99999999999", "Please refer to 'micro tokens create --help'"),
        ("--nosuch status", "--nosuch", "Please refer to 'micro --help'"),
        ("status --namespace shop", "--namespace", "Say it before the command: micro --namespace VALUE status"),
        ("config get -env lab a", "-e", "Say it before the command: micro -e VALUE config get"),
    ],
)  # fmt: skip
def test_what_is_typed_wrong_is_named_with_the_way_out(stranger, typed, named, way_out):
    done = stranger.micro(*typed.split())
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert named in first
    assert second == way_out


@pytest.mark.parametrize("command", ["logs --since", "events read --since", "call --request_timeout"])
def test_a_duration_beyond_all_time_is_none(stranger, command):
    done = stranger.micro(*command.split(), f"{'9' * 30}h", "a", *(["A.B"] if "call" in command else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Invalid format for ")


def test_the_version_is_printed(stranger):
    assert stranger.micro("--version").stdout.startswith("micro version v")
    assert stranger.micro("-version").stdout == stranger.micro("-v").stdout


@pytest.mark.parametrize(
    "heavy", ["click", "typing", "grpc", "google.protobuf", "rich", "asyncio", "django", "tarfile", "subprocess", "ssl"]
)
def test_help_imports_nothing_heavy(heavy):
    script = f"import sys; from micro.cli.main import run; run(['--help']); sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_nothing_of_the_client_imports_django():
    script = (
        "import sys, micro.service, micro.client, micro.cli.runtime, micro.cli.deployment, micro.cli.dynamic; "
        "sys.exit('django' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# Silent, or JSON already, or a file's content.
WITHOUT_OUTPUT = {
    *("auth create rule", "auth delete rule", "auth delete account", "auth update secret"),
    *("broker publish", "cancel", "cli", "completion", "config set", "config del", "config watch"),
    *("env set", "env add", "env del", "gen", "kill", "login", "logout", "network connect", "network graph", "new"),
    *("secrets set", "secrets del", "server", "service", "shutdown", "signup"),
    *("store write", "store delete", "store blob write", "store blob read", "store blob delete"),
    *("store snapshot", "store restore", "store sync"),
    *("tokens revoke", "user namespace set", "user config set", "user config delete", "user set password"),
    *("vars set", "vars del"),
}


def runnable(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something by itself, by what is typed."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command
    for name, sub in command.commands.items() if isinstance(command, click.Group) else ():
        yield from runnable(sub, f"{path} {name}")


def test_every_command_that_prints_data_prints_it_as_json_too():
    context = click.Context(cli, info_name="micro")
    tops = ((name, cli.get_command(context, name)) for name in COMMANDS)
    found = {path: command for name, top in tops for path, command in runnable(top, name)}
    without = {path for path, command in found.items() if not any("--output" in each.opts for each in command.params)}
    assert without == WITHOUT_OUTPUT


def test_micros_global_flags_that_mean_nothing_here_harm_nobody(stranger):
    done = stranger.micro("--profile", "local", "-registry_address=:8000", "--report_usage=false", "env", "get")
    assert (done.returncode, done.stdout, done.stderr) == (0, "local\n", "")
    assert "--profile" not in stranger.micro("--help").stdout


@pytest.mark.parametrize(
    "before",
    [
        "import atexit; atexit.register(print, 'done')",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(1), print('done'))).start()",
    ],
)
def test_a_command_ends_at_once_but_not_before_its_exit_handlers_and_threads(before):
    script = f"{before}; import sys; sys.argv = ['micro', '--version']; from micro.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["done"]
