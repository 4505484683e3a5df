"""Questions to whoever sits at the keyboard, or to whatever standard input is."""

from __future__ import annotations

import os
import sys

import click

from .failures import Failure


def ask(prompt: str, *, is_secret: bool = False) -> str:
    """An answer from the terminal, or the next line of standard input when that is not one.

    Raises Failure when there is none, click.Abort for Ctrl-C.
    """
    if is_interactive() and is_secret:
        import getpass

        return getpass.getpass(prompt, stream=sys.stderr)
    click.echo(prompt, nl=False, err=True)
    line = sys.stdin.readline() if sys.stdin else ""
    if not is_interactive():
        click.echo(err=True)
    if not line:
        raise Failure(f"{prompt.rstrip(': ')}: there was no answer on standard input.")
    return line.rstrip("\r\n")


def ask_new_password() -> str:
    """A password that was typed twice; on a terminal until both are alike."""
    while True:
        new = ask("Enter a new password: ", is_secret=True)
        if ask("Verify your password: ", is_secret=True) == new:
            return new
        if not is_interactive():
            raise Failure("Passwords do not match. Please try again.")
        click.echo("Passwords do not match. Please try again.", err=True)


def is_interactive() -> bool:
    """Whether somebody sits there who can be asked again."""
    return sys.stdin is not None and sys.stdin.isatty()


def open_page(url: str) -> None:
    """Open a page where somebody sits who would see it; its address is on the terminal anyway."""
    if is_interactive() and (sys.platform == "darwin" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}):
        import webbrowser

        webbrowser.open(url)
