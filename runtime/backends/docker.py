"""Replicas as containers of a Docker engine, closed on every side that it lets us close. For strangers' code."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import docker
from django.conf import settings
from docker.errors import APIError, NotFound

from runtime import folders

from . import Launch, containers, engine, networks, surroundings, troubles, walls
from .outputs import Output

LOOK_EVERY_S = 10.0  # however quiet the engine's events are
LOOK_DEAF_EVERY_S = 1.0  # while they do not come
LAST_OUTPUT_WITHIN_S = 2.0
STOPPED_AT_ONCE = 8  # the server does not wait long
FLOOD_BYTES_PER_S = 4 << 20  # what is printed costs the engine's own time: so much is no honest log
FLOODING_CPUS = 0.05
RUNNING = {"running", "paused", "restarting"}
_GONE = {404, 409}  # no such container; it does not run

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    """A container as the engine last listed it."""

    id: str
    state: str
    namespace: str
    address: str
    log: Path
    port: int


class Docker:
    """The backend `docker`. Its methods raise engine.NoEngine, and change nothing, while the engine is away."""

    shares_ports = False

    def __init__(self) -> None:
        self._server = containers.server_id(settings.MICRO_HOME)
        self._seen: dict[UUID, _Seen] = {}
        self._outputs: dict[UUID, Output] = {}
        self._floods: dict[UUID, float] = {}
        self._slowed: set[UUID] = set()
        self._dead: set[str] = set()  # ids of containers: the engine tells of an end before it lists it
        self._troubles = troubles.Watch()
        self._looked_at = float("-inf")
        self._is_stale = threading.Event()
        self._is_deaf = True
        self._walls = walls.Keeper(self._server)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        threading.Thread(target=self._listen, name="docker-events", daemon=True).start()

    # The interface of a backend.

    def start(self, launch: Launch) -> None:
        if self.is_running(launch.replica_id):
            return
        if not launch.image:
            raise OSError("it was built for the process backend, so that it has no image; deploy it again")
        with engine.reached() as client:
            self.forget(launch.replica_id)
            folders.made(folders.replicas() / str(launch.replica_id))
            network = networks.ensure(client, self._server, launch.namespace, pools=settings.MICRO_DOCKER_SUBNETS)
            self._walls.close(client)
            image = containers.Image.of(client.api.inspect_image(launch.image))
            around = surroundings.of(network, server=self._server, is_walled=self._walls.wall is not None)
            container = client.containers.create(**containers.spec(launch, image, around))
            container.start()
            if containers.names_a_user(image):
                _require_no_root(client, container.id, image.user)
        self._is_stale.set()
        self._look()

    def is_running(self, replica_id: UUID) -> bool:
        self._look()
        seen = self._seen.get(replica_id)
        return self._runs(seen)

    def is_gone(self, replica_id: UUID) -> bool:
        return not self.is_running(replica_id)

    def terminate(self, replica_id: UUID) -> None:
        self._signal(replica_id, containers.STOP_SIGNAL)

    def kill(self, replica_id: UUID) -> None:
        self._signal(replica_id, "SIGKILL")

    def forget(self, replica_id: UUID) -> None:
        self._look()
        seen = self._seen.pop(replica_id, None)
        if output := self._outputs.pop(replica_id, None):
            output.stop()
        self._floods.pop(replica_id, None)
        self._slowed.discard(replica_id)
        self._troubles.forget(replica_id)
        folders.remove(folders.replicas() / str(replica_id))
        if seen is None:
            return
        with engine.reached() as client, _already_so():
            client.api.remove_container(seen.id, v=True, force=True)
        self._is_stale.set()
        if not any(other.namespace == seen.namespace for other in self._seen.values()):
            with engine.reached() as client:
                networks.remove(client, self._server, seen.namespace)

    def last_words(self, replica_id: UUID) -> str:
        self._look()
        if (seen := self._seen.get(replica_id)) is None:
            return "ended"
        if output := self._outputs.get(replica_id):
            output.wait(LAST_OUTPUT_WITHIN_S)
        with engine.reached() as client:
            try:
                return _words(client.api.inspect_container(seen.id)["State"])
            except NotFound:
                return "ended"

    def replica_ids(self) -> Collection[UUID]:
        self._look()
        return list(self._seen)

    def descriptors(self) -> Mapping[int, UUID]:
        return {self._reader: UUID(int=0)}

    def endpoint(self, replica_id: UUID, port: int | None) -> tuple[str, int] | None:
        """Where the replica is reached from this machine; None while it is nowhere."""
        self._look()
        seen = self._seen.get(replica_id)
        return (seen.address, seen.port) if seen and self._runs(seen) and seen.address else None

    def trouble(self, replica_id: UUID) -> str:
        """The limit that a running replica has met lately, as a sentence; blank when there is none."""
        seen = self._seen.get(replica_id)
        if seen is None or not self._runs(seen):
            return ""
        if time.monotonic() - self._floods.get(replica_id, float("-inf")) < troubles.LATELY_S:
            slowed = " It is slowed down until it stops." if replica_id in self._slowed else ""
            return f"It prints more than can be kept: lines of its log are left out.{slowed}"
        return self._troubles.of(replica_id, seen.id)

    def refusal(self) -> str:
        """Why strangers' code may not run here, as a sentence; blank when it may."""
        with engine.reached() as client:
            self._walls.close(client)
        return self._walls.refusal

    # What the engine has.

    def _runs(self, seen: _Seen | None) -> bool:
        return seen is not None and seen.state in RUNNING and seen.id not in self._dead

    def _look(self) -> None:
        """List the containers again if something has happened to one, or none has been heard of for a while."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                self._is_stale.set()
        pause_s = LOOK_DEAF_EVERY_S if self._is_deaf else LOOK_EVERY_S
        if not self._is_stale.is_set() and time.monotonic() - self._looked_at < pause_s:
            self._look_after_the_wall()
            return
        self._is_stale.clear()
        try:
            with engine.reached() as client:
                found = _listed(client, self._server)
        except engine.NoEngine:
            self._is_stale.set()
            raise
        is_first, self._looked_at = math.isinf(self._looked_at), time.monotonic()
        self._seen = dict(_read(attributes) for attributes in found)
        self._dead &= {seen.id for seen in self._seen.values()}
        if is_first:
            self._remove_empty_networks()
        self._look_after_the_wall()
        self._give_back_processors()
        self._follow_outputs()

    def _remove_empty_networks(self) -> None:
        """What a stop that was interrupted has left."""
        used = {networks.name(self._server, seen.namespace) for seen in self._seen.values()}
        with engine.reached() as client:
            for network in networks.every(client, self._server):
                if network.name not in used:
                    networks.remove(client, self._server, network.name.removeprefix(networks.name(self._server, "")))

    def _look_after_the_wall(self) -> None:
        with engine.reached() as client:
            self._walls.look(client)

    def _follow_outputs(self) -> None:
        for replica_id, seen in self._seen.items():
            if self._runs(seen) and replica_id not in self._outputs:
                flooded = partial(self._flooded, replica_id)
                self._outputs[replica_id] = Output(seen.id, replica_id, seen.log, on_flood=flooded)

    def _flooded(self, replica_id: UUID, bytes_per_s: float) -> None:
        """Called from the thread that copies the output."""
        self._floods[replica_id] = time.monotonic()
        if bytes_per_s > FLOOD_BYTES_PER_S and replica_id not in self._slowed:
            self._slowed.add(replica_id)
            self._give_processor(replica_id, FLOODING_CPUS)
        self._ring()

    def _give_back_processors(self) -> None:
        """To those that no longer flood."""
        since = time.monotonic() - troubles.LATELY_S
        for replica_id in [key for key in self._slowed if self._floods.get(key, 0.0) < since]:
            self._slowed.discard(replica_id)
            self._give_processor(replica_id, settings.MICRO_REPLICA_CPUS)

    def _give_processor(self, replica_id: UUID, cpus: float) -> None:
        if seen := self._seen.get(replica_id):
            logger.info("replica %s may use %g of a core", replica_id, cpus)
            with contextlib.suppress(*engine.AWAY), engine.reached() as client:
                client.api.update_container(seen.id, **containers.share(cpus))

    def _signal(self, replica_id: UUID, signal: str) -> None:
        self._look()
        seen = self._seen.get(replica_id)
        if seen and self._runs(seen):
            with engine.reached() as client, _already_so():
                client.api.kill(seen.id, signal)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def _listen(self) -> None:
        """Ring whenever something happens to a container of ours."""
        filters = {"type": "container", "label": f"{containers.SERVER}={self._server}"}
        while True:
            try:
                with contextlib.closing(engine.connect(timeout_s=86_400)) as client:
                    events = client.events(decode=True, filters=filters)
                    self._is_deaf = False
                    self._ring()
                    for event in events:
                        self._heard(event)
            except engine.AWAY as error:
                logger.info("the engine's events do not come: %s", error)
            self._is_deaf = True
            self._ring()
            time.sleep(1)

    def _heard(self, event: Mapping[str, Any]) -> None:
        if event.get("Action") == "die":
            self._dead.add(event["id"])
        elif event.get("Action") == "oom":
            for replica_id in [key for key, seen in list(self._seen.items()) if seen.id == event["id"]]:
                self._troubles.ran_out_of_memory(replica_id)
        self._ring()


def _listed(client: docker.DockerClient, server: str) -> list[Mapping[str, Any]]:
    """The containers that this server made. What a Dockerfile has labelled like one of them is not among them."""
    found = client.api.containers(all=True, filters={"label": f"{containers.SERVER}={server}"})
    return [attributes for attributes in found if containers.is_ours(attributes, server)]


def _read(attributes: Mapping[str, Any]) -> tuple[UUID, _Seen]:
    labels = attributes["Labels"]
    attached = (attributes.get("NetworkSettings") or {}).get("Networks") or {}
    address = next((network["IPAddress"] for network in attached.values() if network.get("IPAddress")), "")
    seen = _Seen(
        id=attributes["Id"],
        state=attributes["State"],
        namespace=labels[containers.NAMESPACE],
        address=address,
        log=Path(labels[containers.LOG]),
        port=int(labels[containers.LISTENS]),
    )
    return UUID(labels[containers.REPLICA]), seen


def _require_no_root(client: docker.DockerClient, container_id: str, user: str) -> None:
    """Raises OSError, and leaves no container, when the named user is root by another name, or cannot be told."""
    with contextlib.suppress(NotFound):
        try:
            processes = client.api.top(container_id, ps_args="-eo pid,uid")["Processes"]
            reason = f"its image's USER {user} is root by another name" if _is_roots(processes) else ""
        except APIError as error:
            has_ended = not client.api.inspect_container(container_id)["State"]["Running"]
            reason = (
                "" if has_ended else f"the engine cannot tell who USER {user} of its image is ({error.explanation})"
            )
        if reason:
            client.api.remove_container(container_id, v=True, force=True)
            raise OSError(f"{reason}; say a number in its Dockerfile, such as USER 1000")


def _is_roots(processes: Collection[Collection[str]]) -> bool:
    return any(list(process)[-1] == "0" for process in processes)


def _words(state: Mapping[str, Any]) -> str:
    """How a container ended."""
    if state.get("OOMKilled"):
        return f"used more than its {settings.MICRO_REPLICA_MEMORY_MIB} MiB of memory and was killed"
    if error := state.get("Error"):
        return f"could not be started: {error}"
    status = int(state.get("ExitCode", 0))
    return f"was ended by signal {status - 128}" if 128 < status < 160 else f"ended with status {status}"


@contextlib.contextmanager
def _already_so() -> Iterator[None]:
    """Nothing is wrong when the container is gone or has ended meanwhile."""
    try:
        yield
    except APIError as error:
        if error.status_code not in _GONE:
            raise


def stop_everything(*, grace_s: float = 2.0) -> int:
    """Stop and remove every container of this server, its networks and rules; how many containers those were.

    What is left when this is interrupted is adopted by the next runner.
    """
    server = containers.server_id(settings.MICRO_HOME)
    with engine.reached() as client, ThreadPoolExecutor(STOPPED_AT_ONCE) as pool:
        found = [attributes["Id"] for attributes in _listed(client, server)]
        list(pool.map(partial(_signal_one, client), found))
        deadline = time.monotonic() + grace_s
        while any(one["State"] in RUNNING for one in _listed(client, server)) and time.monotonic() < deadline:
            time.sleep(0.1)
        list(pool.map(partial(_remove_one, client), found))
    walls.remove()
    return len(found)


def _signal_one(client: docker.DockerClient, container_id: str) -> None:
    with _already_so():
        client.api.kill(container_id, containers.STOP_SIGNAL)


def _remove_one(client: docker.DockerClient, container_id: str) -> None:
    with _already_so():
        client.api.remove_container(container_id, v=True, force=True)
