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


def test_an_unknown_subcommand_and_option_are_named(stranger):
    assert stranger.micro("env", "nosuch").returncode == 1
    assert "Unrecognized subcommand for micro env: nosuch" in stranger.micro("env", "nosuch").stderr
    done = stranger.micro("run", "--nosuch", ".")
    assert done.returncode == 1
    assert "--nosuch" in done.stderr


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
