"""Replicas that accept and never answer, and what others wait for meanwhile; housekeeping that never ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from uuid import uuid4

import pytest
from deploying import eventually, hello

from runtime import housekeeping, probes, probing
from runtime.probing import Prober

pytestmark = pytest.mark.django_db(transaction=True)


def replica(namespace_id: int) -> SimpleNamespace:
    release = SimpleNamespace(descriptors=b"", protocol="http")
    return SimpleNamespace(pk=uuid4(), namespace_id=namespace_id, release=release)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield server.getsockname()[1]


@pytest.fixture
def answering() -> Iterator[int]:
    """A port that answers at once."""
    server = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_a_hundred_silent_replicas_of_a_namespace_keep_no_neighbours_from_being_found_ready(silent, answering):
    prober = Prober(lambda: None)
    try:
        for _ in range(100):
            prober.ask(replica(1), "127.0.0.1", silent)
        ours = replica(2)
        prober.ask(ours, "127.0.0.1", answering)
        eventually(lambda: prober.answer(ours) == probes.Ready("http"), 3)
        assert prober._awaited[1] == probing.OF_A_NAMESPACE
    finally:
        prober.close()


def test_who_has_been_answered_leaves_its_place_to_the_next(answering):
    prober = Prober(lambda: None)
    try:
        for _ in range(3 * probing.OF_A_NAMESPACE):
            one = replica(1)
            eventually(lambda one=one: prober.ask(one, "127.0.0.1", answering) or prober.answer(one), 3)
    finally:
        prober.close()


def test_housekeeping_that_never_ends_holds_up_no_start(platform, envoy, monkeypatch, request):
    release = threading.Event()
    monkeypatch.setattr(housekeeping, "tidy", lambda: release.wait(30))
    monkeypatch.setattr(probing, "AT_ONCE", 1)
    request.getfixturevalue("running")
    try:
        assert platform.deploy("web", hello("one")).state == "live"
    finally:
        release.set()


def test_a_chore_that_fails_keeps_no_other_from_being_done(platform, monkeypatch):
    done = []
    monkeypatch.setattr(housekeeping, "prune_releases", lambda: 1 / 0)
    monkeypatch.setattr(housekeeping, "remove_unfinished", lambda: done.append("unfinished"))
    for chore in ("prune_releases", "remove_unfinished"):
        getattr(housekeeping, chore).__name__ = chore
    housekeeping.tidy()
    assert done == ["unfinished"]
