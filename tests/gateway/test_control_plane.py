"""A real Envoy and its control plane: acknowledgements, refusals, absence, and changes under load."""

from __future__ import annotations

import dataclasses
import logging
import socket
import threading
import time

import grpc
import httpx
import pytest
from envoy.config.route.v3 import route_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from gateway import resources, snapshot, xds
from gateway.envoy import bootstrap
from gateway.state import Service

from .backends import Grpc, Http
from .harness import Gateway, Plane, wait_until

FOO = {"micro-namespace": "foo"}


def web(*backends: Http, name: str = "web") -> Service:
    return Service("foo", name, "http", tuple(backend.endpoint for backend in backends))


def test_an_acknowledged_revision_is_being_served(own: Gateway, site: Http):
    for turn in range(20):
        name = f"web{turn}"
        own.serve(*own.state.services, web(site, name=name))
        assert own.get(f"/{name}/get", headers=FOO).status_code == 200
    for turn in range(20):
        own.serve(*own.state.services[1:])
        assert own.get(f"/web{turn}/get", headers=FOO).status_code == 404


def test_the_acknowledgement_says_which_envoy_and_process_it_was_and_when_it_left(own: Gateway, site: Http):
    revision = own.serve(web(site))
    last = own.control.acks[-1]
    assert (last.envoy_id, last.pid, last.revision, last.connected) == ("test", 4321, revision, True)
    own.stop_envoy()
    wait_until(lambda: not own.control.acks[-1].connected, "the stream is seen to end")
    assert own.control.acks[-1].revision == revision


def test_what_is_applied_whole_is_handed_on_to_be_kept_even_when_the_revision_is_the_same(own: Gateway, site: Http):
    own.serve(web(site))
    wait_until(lambda: own.control.good, "it is handed on")
    own.state = dataclasses.replace(own.state, namespaces=own.state.namespaces | {"young"})
    own.control.publish(own.state)
    wait_until(lambda: "young" in own.control.good[-1][resources.SCOPE], "the new namespace is handed on too")


def test_a_refused_resource_is_logged_and_not_acknowledged_and_the_old_one_stays(
    own: Gateway, site: Http, caplog: pytest.LogCaptureFixture
):
    good = own.serve(web(site))
    bad = dataclasses.replace(own.state, revision=good + 1)
    built = snapshot.build(bad)
    table = route_pb2.RouteConfiguration.FromString(built[resources.ROUTES]["service/foo/web"].value)
    table.virtual_hosts[1].domains.append("*")  # twice in one table: Envoy takes no such thing
    broken = resources.Resource.of("service/foo/web", table)
    by_type = {type_url: dict(built[type_url]) for type_url in resources.TYPES}
    by_type[resources.ROUTES][broken.name] = broken
    with caplog.at_level(logging.ERROR):
        own.control.offer(resources.Resources(good + 1, by_type))
        wait_until(lambda: "refused" in caplog.text, "the refusal is logged")
    assert "service/foo/web" in caplog.text
    assert "wildcard domain" in caplog.text
    time.sleep(0.3)
    assert own.control.acknowledged() == good
    assert own.get("/web/get", headers=FOO).status_code == 200
    assert own.serve(web(site), web(site, name="other")) > good
    assert own.get("/other/get", headers=FOO).status_code == 200


def test_a_door_whose_port_is_taken_opens_when_the_port_is_free(monkeypatch: pytest.MonkeyPatch, site: Http):
    monkeypatch.setattr(xds, "RETRY_S", 0.3)
    gateway = Gateway()
    try:
        with socket.create_server(gateway.doors.api):
            gateway.start()
            gateway.control.publish(dataclasses.replace(gateway.state, services=(web(site),)))
            wait_until(gateway.admin_answers, "Envoy is up")
            time.sleep(1)
            assert gateway.control.acknowledged() is None
        wait_until(lambda: gateway.control.acknowledged() == 1, "the door has opened")
        assert gateway.get("/web/get", headers=FOO).status_code == 200
    finally:
        gateway.close()


def test_of_many_resources_only_the_bad_one_is_held_back(own: Gateway, site: Http):
    good = own.serve()
    services = tuple(web(site, name=f"web{n}") for n in range(30))
    built = snapshot.build(dataclasses.replace(own.state, revision=good + 1, services=services))
    table = route_pb2.RouteConfiguration.FromString(built[resources.ROUTES]["service/foo/web7"].value)
    table.virtual_hosts[1].domains.append("*")
    by_type = {type_url: dict(built[type_url]) for type_url in resources.TYPES}
    by_type[resources.ROUTES]["service/foo/web7"] = resources.Resource.of("service/foo/web7", table)
    own.control.offer(resources.Resources(good + 1, by_type))
    wait_until(lambda: own.get("/web29/get", headers=FOO).status_code == 200, "the others are served")
    assert all(own.get(f"/web{n}/get", headers=FOO).status_code == 200 for n in range(30) if n != 7)
    assert own.get("/web7/get", headers=FOO).status_code == 404
    assert own.control.acknowledged() == good


def with_bad_paths(descriptor_set: bytes) -> bytes:
    """The same service, whose author has bound a path that is no template."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set)
    files.file[0].service[0].method[0].options.Extensions[annotations_pb2.http].get = "/{oops"
    return files.SerializeToString()


def test_a_service_whose_bindings_envoy_refuses_is_called_in_frames_instead(own: Gateway, hello: Grpc):
    bad = Service("foo", "helloworld", "grpc", (hello.endpoint,), with_bad_paths(hello.descriptors))
    own.serve(bad)
    answer = own.get("/helloworld/call?name=Joe", headers=FOO)
    assert answer.json()["msg"] == "Hello Joe"
    assert answer.json()["codec"] == "json"
    own.serve(dataclasses.replace(bad, descriptors=hello.descriptors))
    assert own.get("/helloworld/call?name=Joe", headers=FOO).json()["codec"] == "proto"


def test_envoy_goes_on_while_its_control_plane_is_away_and_catches_up_when_it_is_back(own: Gateway, site: Http):
    own.serve(web(site))
    own.control.stop()
    for _ in range(20):
        assert own.get("/web/get", headers=FOO).status_code == 200
    own.control = Plane(own.run / "xds.sock")
    own.serve(web(site), web(site, name="late"))
    assert own.get("/late/get", headers=FOO).status_code == 200


def test_a_restarted_control_plane_sends_only_what_envoy_does_not_have(own: Gateway, site: Http, monkeypatch):
    from gateway.ads import Session

    own.serve(*(web(site, name=f"web{n}") for n in range(50)))
    own.control.stop()
    sent: list[str] = []
    responses = Session.responses

    def counted(self: Session):
        for response in responses(self):
            sent.extend(resource.name for resource in response.resources)
            yield response

    monkeypatch.setattr(Session, "responses", counted)
    own.control = Plane(own.run / "xds.sock")
    own.serve(*own.state.services, web(site, name="late"))
    assert sorted(set(sent)) == ["foo/late", "foo:late", "index/foo", "service/foo/late"]


def test_a_service_changes_its_protocol_without_a_gap(own: Gateway, site: Http, hello: Grpc):
    own.serve(web(site, name="thing"))
    assert own.get("/thing/get", headers=FOO).status_code == 200
    own.serve(Service("foo", "thing", "grpc", (hello.endpoint,), hello.descriptors))
    assert own.get("/thing/helloworld/call?name=a", headers=FOO).json()["msg"] == "Hello a"
    own.serve(web(site, name="thing"))
    assert own.get("/thing/get", headers=FOO).status_code == 200


def test_new_keys_are_taken_over_and_old_ones_forgotten(own: Gateway, hello: Grpc):
    from cryptography.hazmat.primitives.asymmetric import rsa

    from .harness import jwks, token

    service = Service("foo", "helloworld", "grpc", (hello.endpoint,), hello.descriptors)
    own.serve(service)
    fresh = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def status(bearer: str) -> int:
        return own.get("/helloworld/call", headers={"authorization": f"Bearer {bearer}"}).status_code

    old, new = token("foo"), token("foo", key=fresh, kid="two")
    assert (status(old), status(new)) == (200, 401)
    own.serve(service, jwks=jwks(fresh, "two"))
    wait_until(lambda: (status(old), status(new)) == (401, 200), "the new listener has taken over")


class Load:
    """Requests without a pause, on connections that are kept and on new ones, until the block ends."""

    def __init__(self, gateway: Gateway, path: str) -> None:
        self.gateway, self.path = gateway, path
        self.statuses: list[int] = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=each) for each in (self.keep, self.keep, self.keep, self.dial)]

    def keep(self) -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not self.stop.is_set():
                answer = client.post(self.gateway.api + self.path, headers=FOO, content=b"{}")
                self.statuses.append(answer.status_code)

    def dial(self) -> None:
        while not self.stop.is_set():
            self.statuses.append(self.gateway.get(self.path, headers=FOO).status_code)

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def thing(*backends: Grpc | Http) -> Service:
    endpoints = tuple(each.endpoint for each in backends)
    if isinstance(backends[0], Grpc):
        return Service("foo", "thing", "grpc", endpoints, backends[0].descriptors)
    return Service("foo", "thing", "http", endpoints)


@pytest.mark.parametrize(("start", "path"), [(Http, "/thing/get"), (Grpc, "/thing/helloworld/call?name=a")])
def test_replicas_come_and_go_under_load_without_a_failed_request(own: Gateway, start: type[Grpc | Http], path: str):
    """What the runner does: register the new one, wait for the word, take out the old one, drain, stop it."""
    current = start(name="0")
    own.serve(thing(current))
    with Load(own, path) as load:
        for turn in range(1, 9):
            fresh = start(name=str(turn))
            own.serve(thing(current, fresh))
            own.serve(thing(fresh))
            time.sleep(0.2)
            current.stop()
            current = fresh
    current.stop()
    assert len(load.statuses) > 100
    assert set(load.statuses) == {200}


def test_a_replica_that_is_gone_is_tried_around(own: Gateway, site: Http):
    from .backends import free_port

    dead = ("127.0.0.1", free_port())
    own.serve(Service("foo", "web", "http", (site.endpoint, dead)))
    assert {own.get("/web/get", headers=FOO).status_code for _ in range(40)} == {200}


def test_a_single_replica_that_fails_is_never_shut_out(own: Gateway, site: Http):
    own.serve(web(site))
    for _ in range(30):
        assert own.get("/web/status/418", headers=FOO).status_code == 418
    assert own.get("/web/get", headers=FOO).status_code == 200


def test_a_thousand_services_are_workable(own: Gateway, hello: Grpc, site: Http):
    services = tuple(
        Service("foo", f"s{n}", "grpc", (hello.endpoint,), hello.descriptors) if n % 2 else web(site, name=f"s{n}")
        for n in range(1000)
    )
    own.serve(*services)
    assert own.get("/s999/helloworld/call?name=a", headers=FOO).json()["msg"] == "Hello a"
    assert own.get("/s998/get", headers=FOO).status_code == 200
    own.serve(*services, web(site, name="one-more"))
    assert own.get("/one-more/get", headers=FOO).status_code == 200


def test_grpc_streams_live_on_while_routes_change(own: Gateway, hello: Grpc, site: Http):
    service = Service("foo", "helloworld", "grpc", (hello.endpoint,), hello.descriptors)
    own.serve(service)
    with own.channel() as channel:
        stream = channel.unary_stream("/helloworld.Helloworld/Count")
        call = stream(b"", metadata=[("micro-namespace", "foo")], timeout=10)
        next(call)
        own.serve(service, web(site))
        assert len(list(call)) == 2
        assert call.code() is grpc.StatusCode.OK


def test_a_stream_on_which_nothing_changes_stays_open(monkeypatch: pytest.MonkeyPatch, site: Http):
    """Pings of a second stand for those of half a minute: gRPC ends a connection at the third that comes too soon."""
    monkeypatch.setattr(bootstrap, "KEEPALIVE_S", 1)
    own = Gateway()
    try:
        own.start()
        own.serve(web(site))
        told = len(own.control.acks)
        time.sleep(6)
        assert own.control.acks[told:] == []
        assert "gRPC" not in own.log_text()
    finally:
        own.close()
