"""`micro server`: start the platform that this command line belongs to."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import click

import micro

from .commands import Command
from .failures import Failure

LOCK = "server.lock"  # the server holds it for as long as it lives, and its pid is in it
STOPS_WITHIN_S = 30


@click.command(cls=Command, context_settings={"ignore_unknown_options": True})
@click.option(
    "--backend",
    default="",
    help="What runs services: docker, process, or auto, which is docker where an engine answers (also MICRO_BACKEND).",
)
@click.option("--reset", is_flag=True, help="Start nothing: name the folders of the state, ask, and remove them.")
@click.option("--yes", is_flag=True, help="With --reset: do not ask.")
@click.argument("extra", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def server(ctx: click.Context, backend: str, reset: bool, yes: bool, extra: tuple[str, ...]) -> None:
    """Start the platform on this machine.

    Runs every part of it until Ctrl-C, and keeps its state in MICRO_HOME (~/.micro/server). The code is taken from
    MICRO_SERVER, the checkout that micro is installed from, or the one around the current folder.
    """
    if extra:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(1)
    manage = checkout()
    if manage is None:
        raise Failure(
            "The platform's code is not here: run this inside its checkout, or name that folder in MICRO_SERVER."
        )
    asked = [*(["--reset"] if reset else []), *(["--yes"] if yes else [])]
    argv = [*command(manage), *(["--backend", backend] if backend else []), *asked]
    os.execv(argv[0], argv)  # noqa: S606


@click.command(cls=Command)
def shutdown() -> None:
    """Stop the platform that runs on this machine, and its services.

    It is the one whose state is in MICRO_HOME (~/.micro/server). The next start brings the services back. Of a server
    that was killed, the processes and containers that it left are ended.
    """
    here = state_folder()
    pid = _server_of(here)
    if pid is None:
        click.echo(_end_leftovers(here))
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOPS_WITHIN_S
    while _server_of(here) == pid:
        if time.monotonic() > deadline:
            raise Failure(f"The server (pid {pid}) has not stopped after {STOPS_WITHIN_S} s: see {here / 'logs'}.")
        time.sleep(0.1)


def state_folder() -> Path:
    """The folder of the server on this machine."""
    from micro import home

    return Path(os.environ.get("MICRO_HOME") or home.folder() / "server").expanduser()


def was_killed(state: Path) -> bool:
    """Whether a server has run on the folder and runs no longer; it may have left nothing, as one that was stopped."""
    return (state / LOCK).exists() and _server_of(state) is None


def _end_leftovers(state: Path) -> str:
    """Have the platform's code end what a killed server left on the state folder, and say what that was."""
    import subprocess

    none = f"No server runs on {state}."
    if not (state / LOCK).exists():
        raise Failure(none)
    manage = checkout()
    if manage is None:
        raise Failure(f"{none} To end what a killed one may have left, name the platform's checkout in MICRO_SERVER.")
    done = subprocess.run(
        [*command(manage), "--end-leftovers"],
        env={**os.environ, "MICRO_HOME": str(state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it does not say why."])[-1]
        raise Failure(f"{none} What a killed one may have left could not be ended: {said}")
    if not done.stdout.strip():
        raise Failure(none)
    return done.stdout.strip()


def command(manage: Path) -> list[str]:
    """How the platform's code is started: by its own Python, where it has one."""
    python = manage.parent / ".venv" / "bin" / "python"
    return [str(python) if python.exists() else sys.executable, str(manage), "server"]


def _server_of(state: Path) -> int | None:
    """The pid of the server that holds the state folder; None when none does."""
    try:
        with (state / LOCK).open() as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        text = (state / LOCK).read_text()
        return int(text) if text.isdecimal() else None
    return None


def checkout() -> Path | None:
    """The manage.py of the platform's code, where it is on this machine."""
    return next((path for path in _candidates() if _is_ours(path)), None)


def _candidates() -> list[Path]:
    named = os.environ.get("MICRO_SERVER")
    folders = [Path(named)] if named else [Path(micro.__file__).parents[2], Path.cwd(), *Path.cwd().parents]
    return [folder if folder.name == "manage.py" else folder / "manage.py" for folder in folders]


def _is_ours(manage: Path) -> bool:
    return manage.is_file() and (manage.parent / "platform" / "project").is_dir()
