"""How many requests are open at a time, and how often one comes by."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import grpc
import pytest

from gateway.limits import LEAST, Limits
from gateway.state import Service

from .backends import Grpc, Http
from .harness import Gateway, error_of

FOO = {"micro-namespace": "foo"}


def test_a_service_has_its_share_of_what_its_namespace_may_have():
    limits = Limits(service=100, namespace=400, namespaces={"big": 1600, "none": 0})
    assert limits.shares(["foo", "bar", "foo"]) == {"foo": 100, "bar": 100}
    assert limits.shares(["foo"] * 5) == limits.shares(["foo"] * 8) == {"foo": 50}
    assert limits.shares(["big"] * 9) == {"big": 100}
    assert limits.shares(["none"]) == limits.shares(["none"] * 5000) == {"none": LEAST}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_all_shares_together_are_not_more_than_a_namespace_may_have(count: int):
    limits = Limits(service=1000, namespace=4000)
    (share,) = limits.shares(["foo"] * count).values()
    assert share * count <= 4000


class Mute:
    """Takes connections and keeps them; answers when it is told."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.held: list[socket.socket] = []

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.listener.getsockname()

    def hold(self, count: int) -> None:
        """Take as many connections, and read the request of each."""
        self.listener.settimeout(10)
        for _ in range(count):
            connection, _ = self.listener.accept()
            assert connection.recv(65536).startswith(b"GET ")
            self.held.append(connection)

    def answer(self) -> None:
        for connection in self.held:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nheld\n")

    def close(self) -> None:
        for each in [*self.held, self.listener]:
            each.close()


@pytest.fixture
def mute() -> Iterator[Mute]:
    backend = Mute()
    yield backend
    backend.close()


def opened(gateway: Gateway, path: str = "/mute/") -> http.client.HTTPConnection:
    """A request that waits for its answer."""
    connection = http.client.HTTPConnection(*gateway.doors.api, timeout=10)
    connection.request("GET", path, headers=FOO)
    return connection


def test_a_service_that_answers_nobody_is_full_and_its_neighbour_is_not(own: Gateway, mute: Mute, site: Http):
    services = (Service("foo", "mute", "http", (mute.endpoint,)), Service("foo", "web", "http", (site.endpoint,)))
    own.serve(*services, limits=Limits(service=10))
    waiting = [opened(own) for _ in range(10)]
    mute.hold(10)
    refused = own.get("/mute/", headers=FOO)
    assert (refused.status_code, refused.json()["code"], refused.json()["id"]) == (503, 503, "gateway")
    assert refused.json()["detail"] == "foo/mute has 10 requests open, as many as it may: try again."
    assert own.get("/web/get", headers=FOO).status_code == 200
    mute.answer()
    assert [each.getresponse().read() for each in waiting] == [b"held\n"] * 10


def test_what_is_open_goes_on_when_a_share_changes(own: Gateway, mute: Mute, hello: Grpc):
    mute_service = Service("foo", "mute", "http", (mute.endpoint,))
    greeter = Service("foo", "helloworld", "grpc", (hello.endpoint,), hello.descriptors)
    own.serve(mute_service, greeter, limits=Limits(service=10))
    waiting = [opened(own) for _ in range(5)]
    mute.hold(5)
    with own.channel() as channel:
        stream = channel.unary_stream("/helloworld.Helloworld/Count")
        counted = stream(hello.request_type(count=3).SerializeToString(), metadata=(("micro-namespace", "foo"),))
        next(counted)
        own.serve(mute_service, greeter, limits=Limits(service=8))
        assert len(list(counted)) == 2
    mute.answer()
    assert [each.getresponse().read() for each in waiting] == [b"held\n"] * 5


def test_a_node_that_is_a_door_of_ours_is_asked_a_few_times_only(own: Gateway):
    """The registry takes no such node; one may still lead there by a program that hands requests on."""
    doors = [own.doors.api, own.doors.proxy, own.doors.network]
    own.serve(Service("foo", "round", "http", (doors[0],)), Service("foo", "rpc", "grpc", tuple(doors)))
    refused = own.get("/x", host="round--foo.localhost")
    assert refused.status_code == 508
    assert refused.json()["detail"].startswith("The request has come this way too often: ")
    assert own.get("/x", host="round--foo.localhost", headers={"cdn-loop": "a, b; c=d"}).status_code == 508
    error = error_of(lambda: own.call("/rpc.Rpc/Call", micro_namespace="foo"))
    assert error.code() == grpc.StatusCode.UNKNOWN, "who gets UNAVAILABLE tries again"
    assert "too often" in json.loads(error.details())["detail"]
    found = [line for line in own.admin("/stats").text.splitlines() if line.startswith("http.") and "rq_total:" in line]
    assert sum(int(line.rpartition(" ")[2]) for line in found) < 100


@pytest.mark.parametrize("sent", ["micro", "cloud.example; v=1, other"])
def test_who_came_by_another_proxy_is_served(gateway: Gateway, sent: str):
    answer = gateway.get("/web/get", headers=FOO | {"cdn-loop": sent})
    assert answer.status_code == 200
    assert answer.json()["headers"]["cdn-loop"].count("micro") == sent.count("micro") + 1
