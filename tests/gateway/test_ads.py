"""The delta protocol, message by message, as Envoy speaks it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from envoy.service.discovery.v3 import discovery_pb2

from gateway import snapshot
from gateway.ads import Session
from gateway.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SCOPE, TYPES, Resources
from gateway.state import Service

from .test_snapshot import STATE

Response = discovery_pb2.DeltaDiscoveryResponse


def session(resources: Resources) -> Session:
    fresh = Session(resources)
    fresh.receive(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, node={"id": "e", "metadata": {"pid": 7}}))
    return fresh


def subscribe(to: Session, type_url: str, names: Iterable[str] = (), held: dict[str, str] | None = None) -> None:
    to.receive(
        discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url, resource_names_subscribe=names, initial_resource_versions=held or {}
        )
    )


def answer(to: Session, responses: Iterable[Response], *, refusing: str = "") -> None:
    for response in responses:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if refusing:
            request.error_detail.message = refusing
        to.receive(request)


def names(responses: Iterable[Response], type_url: str) -> list[str]:
    return sorted(each.name for response in responses if response.type_url == type_url for each in response.resources)


def settle(to: Session) -> list[Response]:
    """Subscribe to all that is offered and acknowledge everything, as Envoy does; what was sent."""
    sent: list[Response] = []
    for _ in range(6):
        subscribe(to, ENDPOINTS, to.resources[ENDPOINTS].keys() - to.types[ENDPOINTS].names)
        for type_url in (LISTENER, SCOPE):
            subscribe(to, type_url)
        subscribe(to, ROUTES, to.resources[ROUTES].keys() - to.types[ROUTES].names)
        fresh = list(to.responses())
        sent += fresh
        answer(to, fresh)
    return sent


BUILT = snapshot.build(STATE)


def test_clusters_come_first_then_endpoints_and_routes_only_when_both_are_applied():
    one = session(BUILT)
    for type_url in (LISTENER, SCOPE):
        subscribe(one, type_url)
    clusters = list(one.responses())
    assert {each.type_url for each in clusters} == {CLUSTER}
    answer(one, clusters)
    assert list(one.responses()) == []
    subscribe(one, ENDPOINTS, BUILT[ENDPOINTS])
    endpoints = list(one.responses())
    assert {each.type_url for each in endpoints} == {ENDPOINTS}
    assert list(one.responses()) == []
    answer(one, endpoints)
    assert {each.type_url for each in one.responses()} == {LISTENER, SCOPE}


def test_a_revision_is_applied_when_every_type_is():
    one = session(BUILT)
    assert one.applied_revision() is None
    sent = settle(one)
    assert one.applied_revision() == 7
    assert sum(len(each.resources) for each in sent) == len(BUILT)
    assert (one.envoy_id, one.pid) == ("e", 7)


def test_nothing_is_sent_twice():
    one = session(BUILT)
    settle(one)
    assert list(one.responses()) == []
    one.resources = snapshot.build(replace(STATE, revision=9))
    assert list(one.responses()) == []
    assert one.applied_revision() == 9


def test_a_change_of_endpoints_sends_one_resource_and_is_applied_when_it_is_acknowledged():
    one = session(BUILT)
    settle(one)
    moved = replace(STATE.services[1], endpoints=(("127.0.0.1", 77),))
    one.resources = snapshot.build(replace(STATE, revision=8, services=(STATE.services[0], moved, STATE.services[2])))
    assert one.applied_revision() is None
    (response,) = one.responses()
    assert names([response], ENDPOINTS) == ["foo/web"]
    assert one.applied_revision() is None
    answer(one, [response])
    assert one.applied_revision() == 8


def test_an_envoy_that_comes_back_is_sent_only_what_it_does_not_have():
    one = session(BUILT)
    settle(one)
    again = Session(BUILT)
    for type_url in TYPES:
        subscribe(again, type_url, BUILT[type_url], {name: each.version for name, each in BUILT[type_url].items()})
    assert list(again.responses()) == []
    assert again.applied_revision() == 7


def test_what_an_envoy_that_comes_back_has_too_much_is_taken_away():
    held = {name: each.version for name, each in BUILT[CLUSTER].items()} | {"foo/old": "x"}
    one = Session(BUILT)
    subscribe(one, CLUSTER, (), held)
    settle(one)
    assert "foo/old" not in one.types[CLUSTER].applied
    assert one.applied_revision() == 7


def test_a_cluster_goes_only_after_the_routes_to_it():
    one = session(BUILT)
    settle(one)
    one.resources = snapshot.build(replace(STATE, revision=8, services=STATE.services[1:]))
    first = list(one.responses())
    assert not [each for each in first if each.type_url == CLUSTER]
    answer(one, first)
    last = list(one.responses())
    assert (last[0].type_url, list(last[0].removed_resources)) == (CLUSTER, ["foo/helloworld"])
    answer(one, last)
    assert one.applied_revision() == 8


def test_a_refusal_is_kept_to_the_resource_at_fault():
    one = session(BUILT)
    settle(one)
    more = tuple(Service("bar", f"s{n}", "http", ()) for n in range(3))
    one.resources = snapshot.build(replace(STATE, revision=8, services=(*STATE.services, *more)))
    clusters = [each for each in one.responses() if each.type_url == CLUSTER]
    assert names(clusters, CLUSTER) == ["bar/s0", "bar/s1", "bar/s2"]
    answer(one, clusters, refusing="one of them is bad")
    alone = [each for each in one.responses() if each.type_url == CLUSTER]
    assert [len(each.resources) for each in alone] == [1, 1, 1]
    answer(one, alone[:2])
    answer(one, alone[2:], refusing="this one")
    assert [each.name for each in one.take_refusals()] == ["bar/s2"]
    assert one.take_refusals() == []
    subscribe(one, ENDPOINTS, ["bar/s0", "bar/s1"])
    others = list(one.responses())
    answer(one, others)
    assert {"index/bar", "service/bar/s0"} <= set(names([*others, *settle(one)], ROUTES))  # the others go on
    assert one.applied_revision() is None


def test_a_refused_resource_is_sent_again_when_it_changes():
    one = session(BUILT)
    settle(one)
    one.resources = snapshot.build(replace(STATE, revision=8, domains={"a.example": "foo"}))
    answer(one, one.responses(), refusing="no")
    assert list(one.responses()) == []
    assert one.applied_revision() is None
    one.resources = snapshot.build(replace(STATE, revision=9, domains={"b.example": "foo"}))
    answer(one, one.responses())
    assert one.applied_revision() == 9


def test_a_cluster_that_changes_gets_its_endpoints_again():
    one = session(BUILT)
    settle(one)
    other = replace(STATE.services[1], protocol="grpc")
    one.resources = snapshot.build(replace(STATE, revision=8, services=(STATE.services[0], other, STATE.services[2])))
    first = list(one.responses())
    assert (names(first, CLUSTER), names(first, ENDPOINTS)) == (["foo/web"], ["foo/web"])


def test_what_is_asked_for_and_does_not_exist_is_said_not_to():
    one = session(BUILT)
    settle(one)
    subscribe(one, ROUTES, ["service/foo/nope"])
    (response,) = one.responses()
    assert list(response.removed_resources) == ["service/foo/nope"]
    answer(one, [response])
    assert list(one.responses()) == []
    assert one.applied_revision() == 7
    fresh = Service("foo", "nope", "http", ())
    one.resources = snapshot.build(replace(STATE, revision=8, services=(*STATE.services, fresh)))
    assert "service/foo/nope" in names(settle(one), ROUTES)
    assert one.applied_revision() == 8


def test_what_is_no_longer_asked_for_is_forgotten_and_sent_when_asked_again():
    one = session(BUILT)
    settle(one)
    one.receive(discovery_pb2.DeltaDiscoveryRequest(type_url=ENDPOINTS, resource_names_unsubscribe=["foo/web"]))
    assert one.applied_revision() is None
    subscribe(one, ENDPOINTS, ["foo/web"])
    (response,) = one.responses()
    assert names([response], ENDPOINTS) == ["foo/web"]


def test_large_changes_are_cut_into_responses_of_about_a_mebibyte():
    many = tuple(replace(STATE.services[0], name=f"s{n}") for n in range(500))
    one = session(snapshot.build(replace(STATE, services=many)))
    sent = settle(one)
    assert one.applied_revision() == 7
    assert max(response.ByteSize() for response in sent) < 1.3 * 1024 * 1024
    assert len([response for response in sent if response.type_url == ROUTES]) > 1


def test_a_response_to_an_older_version_does_not_count_for_the_newer():
    one = session(BUILT)
    settle(one)
    one.resources = snapshot.build(replace(STATE, revision=8, domains={"a.example": "foo"}))
    older = list(one.responses())
    one.resources = snapshot.build(replace(STATE, revision=9, domains={"b.example": "foo"}))
    newer = list(one.responses())
    answer(one, older)
    assert one.applied_revision() is None
    answer(one, newer)
    assert one.applied_revision() == 9
