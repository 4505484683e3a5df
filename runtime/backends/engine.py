"""The Docker engine: how it is reached, and whether it answers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import docker
from django.conf import settings
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from . import Away

TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 3

AWAY = (DockerException, RequestException, OSError)


class NoEngine(Away):
    """No Docker engine answers; the message names the way out."""


def connect(timeout_s: float = TIMEOUT_S) -> docker.DockerClient:
    """A client of the engine that the settings name, else the machine's own. Asks it nothing yet."""
    base_url = settings.MICRO_DOCKER_HOST or None
    return docker.DockerClient(base_url=base_url, version="auto", timeout=timeout_s)


@functools.cache
def client() -> docker.DockerClient:
    """This process's client. Raises NoEngine when none answers."""
    try:
        return connect()
    except AWAY as error:
        raise NoEngine(f"No Docker engine answers ({error}): start it, or set MICRO_BACKEND=process.") from error


@contextlib.contextmanager
def reached() -> Iterator[docker.DockerClient]:
    """The client, for a few calls. What the engine itself refuses passes through; that it is away becomes NoEngine."""
    try:
        yield client()
    except APIError:
        raise
    except (DockerException, RequestException) as error:
        raise NoEngine(f"The Docker engine does not answer: {error}") from error


def answers() -> bool:
    """Whether an engine answers now."""
    try:
        connect(ANSWER_TIMEOUT_S).close()
    except AWAY:
        return False
    return True
