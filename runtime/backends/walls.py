"""The wall around a server's containers, kept up: the firewall's rules as the engine's networks want them now."""

from __future__ import annotations

import logging
import time

import docker
from django.conf import settings

from . import containers, engine, firewall, networks, surroundings

LOOK_EVERY_S = 4.0

logger = logging.getLogger(__name__)


class Keeper:
    """Writes the rules, and writes them again when somebody has flushed them. `refusal` says why it cannot."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._looked_at = float("-inf")
        self.wall: firewall.Wall | None = None  # as it stands; None while it does not
        self.refusal = ""

    def look(self, client: docker.DockerClient) -> None:
        """Look after it, if that was not done lately."""
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self.close(client)

    def close(self, client: docker.DockerClient) -> None:
        """Make it so that the rules are there for the networks as they are now."""
        self._looked_at = time.monotonic()
        wall = surroundings.wall(client, self._server)
        try:
            if wall != self.wall or not firewall.is_in_place(wall):
                firewall.apply(wall)
        except firewall.NotWritable as error:
            self.wall = None
            self._refuse(str(error))
        else:
            self.wall, self.refusal = wall, ""

    def _refuse(self, why: str) -> None:
        refusal = f"No firewall rules can be written ({why}), so containers reach private addresses from here."
        if refusal != self.refusal:
            logger.warning("%s", refusal)
        self.refusal = refusal


def refusal() -> str:
    """Why the wall cannot be put up here, as a sentence; blank when it could be, and it stands then."""
    keeper = Keeper(containers.server_id(settings.MICRO_HOME))
    with engine.reached() as client:
        keeper.close(client)
    return keeper.refusal


def remove() -> None:
    """Take this server's networks and rules away, unless containers are left on them."""
    server = containers.server_id(settings.MICRO_HOME)
    with engine.reached() as client:
        for network in networks.every(client, server):
            networks.remove(client, server, network.name.removeprefix(networks.name(server, "")))
        if not networks.every(client, server):
            firewall.remove(firewall.Wall(server, networks.bridges(server), (), 0))
