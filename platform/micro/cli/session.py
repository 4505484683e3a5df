"""What the global options choose, made when a command first needs it."""

from __future__ import annotations

import os
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

        return Client(target=self.target, is_brief=True)

    @cached_property
    def config(self) -> Config:
        from micro.home import Config

        return Config(self.config_file or None)

    @property
    def environment_name(self) -> str:
        """The environment that is talked to, whether its address is known or not."""
        from micro import home

        return home.current_environment(self.config, self.environment)

    @property
    def namespace_name(self) -> str:
        """The namespace that is worked in."""
        from micro import home

        return home.current_namespace(self.config, self.environment_name, self.namespace)

    @property
    def account_id(self) -> str:
        """Who is logged in there; blank for nobody, as where the environment has no address."""
        from micro import errors, tokens

        try:
            return tokens.account(self.target)
        except (errors.FailedPrecondition, errors.NotFound):
            return ""

    def way_in(self) -> str:
        """What whoever is refused for want of a login can do, as a sentence."""
        from micro import tokens

        if os.environ.get("MICRO_AUTH_ID") and os.environ.get("MICRO_AUTH_SECRET"):
            return "MICRO_AUTH_ID and MICRO_AUTH_SECRET say who you are: look at them."
        chosen = {"-e": self.environment, "--namespace": self.namespace, "--proxy_address": self.address}
        options = "".join(f" {name} {value}" for name, value in chosen.items() if value)
        command = f"`micro{options} login`"
        if tokens.read(self.target) or not tokens.is_anybody_logged_in():
            return f"Log in with {command}."
        where = f"to the namespace {self.target.namespace} at {self.target.address}"
        named = ", which MICRO_PROXY names" if os.environ.get("MICRO_PROXY") and not self.address else ""
        return f"You are not logged in {where}{named}: log in with {command}."

    def choose_namespace(self, name: str) -> None:
        """Work in the namespace from now on, in this environment."""
        environment = self.environment_name
        known = [other for other in self.config.get(f"namespaces.{environment}.all").split(",") if other]
        if name not in ("micro", *known):
            self.config.set(f"namespaces.{environment}.all", ",".join([*known, name]))
        self.config.set(f"namespaces.{environment}.current", name)

    def git_key(self, name: str) -> str:
        """Under which key of the config file this environment's git setting is, e.g. of `credentials.github`."""
        return f"git.{self.environment_name}.{name}"

    def git_setting(self, name: str) -> str:
        """This environment's git setting, else the one of Micro 3, which had one for all; blank when there is none."""
        return self.config.get(self.git_key(name)) or self.config.get(f"git.{name}")

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()


pass_session = click.make_pass_decorator(Session)
