"""What the global options choose, made when a command first needs it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from micro.client import Client
    from micro.home import Config, Target


@dataclass
class Session:
    """The server, namespace and login of this invocation."""

    environment: str = ""
    namespace: str = ""
    address: str = ""
    config_file: str = ""

    @cached_property
    def target(self) -> Target:
        from micro import home

        return home.target(
            environment=self.environment,
            namespace=self.namespace,
            address=self.address,
            config_file=self.config_file or None,
        )

    @cached_property
    def client(self) -> Client:
        from micro.client import Client

        return Client(target=self.target)

    @cached_property
    def config(self) -> Config:
        from micro.home import Config

        return Config(self.config_file or None)

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()


pass_session = click.make_pass_decorator(Session)
