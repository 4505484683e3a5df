"""A server whose services are containers, and what it has on the engine."""

from __future__ import annotations

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from server import Server

from runtime.backends import containers

SETTINGS = {"MICRO_BACKEND": "auto", "MICRO_UNSAFE_BUILD_HOST_NETWORK": "1", "MICRO_START_TIMEOUT": "20s"}


class Box:
    """A replica's container; two that stand for the same one are equal."""

    def __init__(self, container: Container) -> None:
        self.id, self.name = container.id, container.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Box({self.name})"

    def is_running(self) -> bool:
        """Whether the container is on the engine and its process lives."""
        try:
            return docker.from_env().containers.get(self.id).attrs["State"]["Pid"] != 0
        except NotFound:
            return False


class DockerServer(Server):
    """One server with the backend that is chosen where an engine answers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.environment = SETTINGS | self.environment

    def replicas(self, service: str) -> list[Box]:  # type: ignore[override]
        """The container of each replica of `service`, one that has ended included."""
        return [Box(found) for found in self._containers(f"{containers.SERVICE}={service}")]

    def containers(self) -> list[str]:
        """The names of the containers that this server has on the engine."""
        return [found.name for found in self._containers()]

    def images(self) -> set[str]:
        """The names of the images that this server has built and not removed."""
        prefix = f"micro-{self.id}/"
        found = docker.from_env().images.list(filters={"reference": f"{prefix}*"})
        return {name for image in found for name in image.tags if name.startswith(prefix)}

    def forget(self) -> None:
        """Remove what is left on the engine too: images always, containers and networks where a test has failed."""
        engine = docker.from_env()
        for found in self._containers():
            found.remove(v=True, force=True)
        for network in engine.networks.list(filters={"label": f"{containers.SERVER}={self.id}"}):
            network.remove()
        for name in self.images():
            engine.images.remove(name, force=True)
        super().forget()

    @property
    def id(self) -> str:
        """By which the engine's things are told apart."""
        return containers.server_id(self.home)

    def _containers(self, *labels: str) -> list[Container]:
        wanted = [f"{containers.SERVER}={self.id}", *labels]
        return docker.from_env().containers.list(all=True, filters={"label": wanted}, ignore_removed=True)
