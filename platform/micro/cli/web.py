"""`micro web`: the platform's pages."""

from __future__ import annotations

import click

from .asking import open_page
from .commands import Command
from .output import output_option, show
from .session import Session, pass_session


@click.command(cls=Command)
@click.argument("service", default="")
@output_option()
@pass_session
def web(session: Session, service: str, output: str) -> None:
    """Print the address of the platform's pages, and open them on a desktop.

    With a SERVICE, of the page of that service.
    """
    from micro import auth

    url = auth.platform(client=session.client).web_url
    if service:
        url += f"/n/{session.namespace_name}/services/{service}"
    show({"url": url}, [url], output)
    open_page(url)
