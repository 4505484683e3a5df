"""`micro doctor`: whether everything is there, and the way out where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from micro.cli.commands import Command
from micro.cli.output import output_option, show
from micro.cli.session import Session, pass_session

from .findings import Finding


@click.command(cls=Command)
@output_option()
@pass_session
def doctor(session: Session, output: str) -> int:
    """Check the installation, and name what is missing.

    Looks at this command line, its files, the environment and the login; on a machine that has the platform's code,
    also at what the server needs. Ends with 1 when something that is needed is missing.
    """
    found = list(_findings(session))
    show([asdict(finding) for finding in found], _lines(found), output)
    return int(any(finding.state == "missing" for finding in found))


def _findings(session: Session) -> Iterator[Finding]:
    from micro.cli import server

    from . import client, machine

    yield from client.findings(session)
    if manage := server.checkout():
        yield from machine.findings(manage.parent)


def _lines(found: list[Finding]) -> Iterator[str]:
    """A line for each finding, and the way out below those that need one."""
    width = max(len(finding.name) for finding in found)
    for finding in found:
        yield f"{finding.state:<7}  {finding.name:<{width}}  {finding.detail}".rstrip()
        if finding.remedy:
            yield f"{'':<7}  {'':<{width}}  → {finding.remedy}"
