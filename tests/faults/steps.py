"""The steps of a deploy, each brought about and held until somebody has died in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from target import INSTANCES, SLOW_S, Target
from victims import find, held

WITHIN_S = 60.0
TRIES = 5

Step = Callable[[Target, Callable[[], UUID], str], AbstractContextManager[UUID]]


class Missed(Exception):
    """The deploy was past the step before it could be held."""


def until(claim: Callable[[], bool], what: str) -> None:
    """Look every few milliseconds until `claim()`."""
    deadline = time.monotonic() + WITHIN_S
    while not claim():
        assert time.monotonic() < deadline, f"Not within {WITHIN_S:g} s: {what}"
        time.sleep(0.002)


@contextmanager
def accepted(target: Target, deploy: Callable[[], UUID], word: str) -> Iterator[UUID]:
    """The row is there; no worker has looked at it."""
    target.commit(word)
    with held(find(target.server, "worker")):
        deployment = deploy()
        assert target.state(deployment) == "queued"
        yield deployment


@contextmanager
def cloning(target: Target, deploy: Callable[[], UUID], word: str) -> Iterator[UUID]:
    """git fetches, slowly."""
    target.commit(word)
    target.git.pause_s = SLOW_S / 2  # it asks twice
    target.git.seen.clear()
    try:
        deployment = deploy()
        until(lambda: target.state(deployment) == "fetching" and len(target.git.seen) > 1, "git asks")
        yield deployment
    finally:
        target.git.pause_s = 0.0


@contextmanager
def building(target: Target, deploy: Callable[[], UUID], word: str) -> Iterator[UUID]:
    """A dependency is being built, slowly."""
    target.commit(word, slow_build=True)
    deployment = deploy()
    until(lambda: target.state(deployment) == "building", "it builds")
    time.sleep(0.5)
    yield deployment


@contextmanager
def starting(target: Target, deploy: Callable[[], UUID], word: str) -> Iterator[UUID]:
    """The new replicas run and do not answer yet."""
    target.commit(word, slow_start=True)
    deployment = deploy()
    until(lambda: target.replica_states(deployment) == ["starting"] * INSTANCES, "its replicas start")
    time.sleep(0.5)
    yield deployment


@contextmanager
def healthy(target: Target, deploy: Callable[[], UUID], word: str) -> Iterator[UUID]:
    """The new replicas answer and are registered; no Envoy has been told."""
    target.commit(word)
    deployment = deploy()
    until(lambda: target.state(deployment) in {"detecting", "building", "starting"}, "it builds")
    with held(find(target.server, "xds")):
        until(lambda: target.replica_states(deployment) == ["announced"] * INSTANCES, "its replicas are registered")
        yield deployment


@contextmanager
def switching(target: Target, deploy: Callable[[], UUID], word: str) -> Iterator[UUID]:
    """The new replicas serve; the old ones are still in the registry, or in some Envoy."""
    target.commit(word)
    runner = find(target.server, "runner")
    deployment = deploy()
    until(lambda: target.state(deployment) in {"switching", "live"}, "it switches")
    with held(runner):
        if target.state(deployment) != "switching":
            raise Missed
        yield deployment


@contextmanager
def draining(target: Target, deploy: Callable[[], UUID], word: str) -> Iterator[UUID]:
    """It is live; the old replicas finish what they have."""
    target.commit(word)
    deployment = deploy()
    until(lambda: target.replica_states().count("draining") == INSTANCES, "the old replicas drain")
    yield deployment


STEPS: dict[str, Step] = {
    "accepted": accepted,
    "cloning": cloning,
    "building": building,
    "starting": starting,
    "healthy": healthy,
    "switching": switching,
    "draining": draining,
}
