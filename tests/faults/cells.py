"""One cell of the matrix: a process dies at a step of a deploy, and what must be true afterwards."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import docker
import httpx
from load import Load
from server import Server, eventually
from steps import STEPS, TRIES, Missed
from target import FINAL, INSTANCES, Target, guests
from victims import DOCKERD, PROGRAMS, kill, programs

from runtime.backends import containers

TERMINAL_WITHIN_S = 120.0
SETTLED_WITHIN_S = 60.0
RATE = 50
CARRIES_TRAFFIC = {"envoy", DOCKERD}  # requests may fail while these are away


@dataclass
class Outcome:
    """What came of one cell."""

    backend: str
    victim: str
    step: str
    state: str = ""
    terminal_after_s: float = 0.0
    lost: int = 0
    answered: int = 0
    problem: str = ""

    @property
    def text(self) -> str:
        """As a cell of the table."""
        if self.problem:
            return "FAILED"
        return f"{self.state} {self.terminal_after_s:.0f} s" + (f", {self.lost} lost" if self.lost else "")


@dataclass
class Strike:
    """A cell while it is played."""

    target: Target
    outcome: Outcome
    struck_at: float = 0.0
    words: list[str] = field(default_factory=list)

    def play(self) -> None:
        """Deploy under load, kill at the step, see that all ends well. Raises AssertionError where it does not."""
        target, outcome = self.target, self.outcome
        wait_until_whole(target.server)
        target.settle()
        self.words = [target.answer()]
        with Load(target.url, host=target.host, rate=RATE, at_most_s=300) as load:
            time.sleep(0.3)
            deployment = self._strike()
            eventually(lambda: target.state(deployment) in FINAL, TERMINAL_WITHIN_S, "a terminal state")
            outcome.terminal_after_s = time.monotonic() - self.struck_at
            eventually(lambda: leftovers(target) == [], SETTLED_WITHIN_S, Later(target))
            wait_until_whole(target.server)
            outcome.state = target.state(deployment)  # only now: the database may have been the one that was killed
        outcome.lost, outcome.answered = len(load.failures), sum(load.answers.values())
        assert outcome.state == "live", target.reason(deployment)
        assert target.answer() == self.words[-1]
        assert set(load.answers) <= set(self.words)
        assert outcome.answered > RATE, "the load was hardly there"
        assert outcome.victim in CARRIES_TRAFFIC or load.failures == [], load.failures[:5]

    def _strike(self) -> UUID:
        """Kill the victim at the step; a step that was over too soon is tried again with another deployment."""
        server, victim = self.target.server, self.outcome.victim
        deploy = partial(self.target.deploy, by_sidecar=victim == "sidecar")
        for _ in range(TRIES):
            self.words.append(self.target.next_word())
            try:
                with ExitStack() as step:
                    deployment = step.enter_context(STEPS[self.outcome.step](self.target, deploy, self.words[-1]))
                    self.struck_at = time.monotonic()
                    kill(server, victim)
                return deployment
            except Missed:
                eventually(lambda: leftovers(self.target) == [], SETTLED_WITHIN_S, Later(self.target))
        raise AssertionError(f"The step {self.outcome.step} was over too soon, {TRIES} times.")


class Later:
    """Says what is left over at the moment when it is asked."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __str__(self) -> str:
        return "; ".join(leftovers(self._target))


def leftovers(target: Target) -> list[str]:
    """What is there beside one set of replicas of the newest release, as sentences."""
    states, ids = target.replica_states(), target.replica_ids()
    found = [] if states == ["serving"] * INSTANCES else [f"replicas are {states}"]
    homes = guests(target.server).values()
    expected = {str(target.server.home / "replicas" / id) for id in ids}
    found += [f"a process of {home} lives" for home in set(homes) - expected]
    seen = container_ids(target.server) if is_docker(target.server) else {home.rpartition("/")[2] for home in homes}
    if seen != ids:
        found.append(f"{len(seen)} replicas run and {len(ids)} should")
    if jobs := list((target.server.home / "jobs").glob("*/process")):
        found.append(f"builds are recorded: {jobs}")
    return found


def is_docker(server: Server) -> bool:
    """Whether its services are containers."""
    return server.environment.get("MICRO_BACKEND") == "docker"


def container_ids(server: Server) -> set[str]:
    """The replicas for which the server has containers on the engine, running or not."""
    label = f"{containers.SERVER}={containers.server_id(server.home)}"
    client = docker.from_env()
    try:
        found = client.api.containers(all=True, filters={"label": label})
        return {attributes["Labels"][containers.REPLICA] for attributes in found}
    finally:
        client.close()


def wait_until_whole(server: Server) -> None:
    """Return when every program runs and both doors answer."""
    eventually(lambda: set(PROGRAMS.values()) <= set(programs(server)) and server.is_ready(), 60, "all programs run")


def play(target: Target, victim: str, step: str, backend: str) -> Outcome:
    """Play one cell; what is wrong is said in the outcome's `problem`."""
    outcome = Outcome(backend, victim, step)
    try:
        Strike(target, outcome).play()
    except (AssertionError, httpx.HTTPError) as error:
        outcome.problem = str(error) or repr(error)
    return outcome
