"""State → resources, as a table: what changes when what changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2

from gateway import snapshot
from gateway.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SCOPE, TYPES, Resources
from gateway.state import Doors, Service, State, Version, merged

from . import backends

HELLO = backends.descriptors("helloworld", "Helloworld")
STATE = State(
    revision=7,
    doors=Doors(("127.0.0.1", 8080), ("127.0.0.1", 8081), ("127.0.0.1", 8443)),
    base_domain="localhost",
    jwks='{"keys": []}',
    sidecars=("/run/s-0.sock", "/run/s-1.sock"),
    namespaces=frozenset({"foo", "bar"}),
    services=(
        Service("foo", "helloworld", "grpc", (("127.0.0.1", 1),), HELLO),
        Service("foo", "web", "http", (("127.0.0.1", 2),)),
        Service("bar", "web", "http", (("127.0.0.1", 3),)),
    ),
)


def changed(state: State, **arguments) -> set[str]:
    """The names of what is new, different or gone against STATE."""
    before, after = snapshot.build(STATE), snapshot.build(state, **arguments)
    names = set()
    for type_url in TYPES:
        for name in before[type_url].keys() | after[type_url].keys():
            old, new = before[type_url].get(name), after[type_url].get(name)
            if old is None or new is None or old.version != new.version:
                names.add(f"{type_url.rpartition('.')[2]} {name}")
    return names


def test_the_same_state_makes_the_same_bytes_in_any_order():
    again = replace(STATE, services=tuple(reversed(STATE.services)), revision=8)
    assert changed(again) == set()
    assert snapshot.build(again).revision == 8


def test_replicas_that_come_and_go_change_endpoints_alone():
    web = replace(STATE.services[1], endpoints=(("127.0.0.1", 2), ("127.0.0.1", 22)))
    assert changed(replace(STATE, services=(STATE.services[0], web, STATE.services[2]))) == {
        "ClusterLoadAssignment foo/web"
    }


def test_a_new_service_changes_its_own_resources_and_its_namespaces_index():
    fresh = Service("bar", "fresh", "http", (("127.0.0.1", 9),))
    assert changed(replace(STATE, services=(*STATE.services, fresh))) == {
        "Cluster bar/fresh",
        "ClusterLoadAssignment bar/fresh",
        "RouteConfiguration service/bar/fresh",
        "RouteConfiguration index/bar",
        "ScopedRouteConfiguration bar:fresh",
    }


def test_new_descriptors_change_one_table():
    other = backends.descriptors("helloworld", "Helloworld", methods=("Call", "More"))
    services = (replace(STATE.services[0], descriptors=other), *STATE.services[1:])
    assert changed(replace(STATE, services=services)) == {"RouteConfiguration service/foo/helloworld"}


def test_a_namespace_is_an_index_and_a_scope_and_a_domain_changes_only_the_hosts():
    assert changed(replace(STATE, namespaces=STATE.namespaces | {"new"})) == {
        "RouteConfiguration index/new",
        "ScopedRouteConfiguration new",
    }
    assert changed(replace(STATE, domains={"shop.example": "foo"})) == {"RouteConfiguration hosts"}


def test_new_keys_change_the_listeners():
    assert changed(replace(STATE, jwks='{"keys": [1]}')) == {"Listener api", "Listener proxy", "Listener network"}


def test_services_of_namespaces_that_are_gone_are_left_out():
    built = snapshot.build(replace(STATE, namespaces=frozenset({"foo"})))
    assert not [name for type_url in TYPES for name in built[type_url] if "bar" in name]


@pytest.mark.parametrize("name", ["", "*", "a:b", "a/b", "a b", "-a", "a-", "ü", "a\n", "@hosts"])
def test_a_service_whose_name_cannot_be_routed_is_left_out(name):
    assert changed(replace(STATE, services=(*STATE.services, Service("foo", name, "http", ())))) == set()


def test_a_refused_transcoder_leaves_the_service_without_one():
    refused = frozenset({snapshot.fingerprint(STATE.services[0])})
    assert changed(STATE, refused=refused) == {
        "RouteConfiguration service/foo/helloworld",
        "RouteConfiguration index/foo",
    }


def test_every_scope_has_its_table_and_every_cluster_its_endpoints():
    built = snapshot.build(STATE)
    tables = {
        scoped_route_pb2.ScopedRouteConfiguration.FromString(each.value).route_configuration_name
        for each in built[SCOPE].values()
    }
    assert tables == set(built[ROUTES])
    assert set(built[CLUSTER]) - {"sidecar"} == set(built[ENDPOINTS])


def test_endpoints_that_are_no_addresses_are_left_out():
    odd = (("localhost", 1), ("127.0.0.1", 0), ("::1", 5), ("10.0.0.1", 70_000), ("127.0.0.1", 6))
    built = snapshot.build(replace(STATE, services=(replace(STATE.services[1], endpoints=odd),)))
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(built[ENDPOINTS]["foo/web"].value)
    found = [each.endpoint.address.socket_address for each in assignment.endpoints[0].lb_endpoints]
    assert [(each.address, each.port_value) for each in found] == [("127.0.0.1", 6), ("::1", 5)]


@pytest.mark.parametrize("door", ["api", "proxy", "network"])
def test_the_filters_stand_in_this_order(door):
    listener = listener_pb2.Listener.FromString(snapshot.build(STATE)[LISTENER][door].value)
    manager = hcm_pb2.HttpConnectionManager()
    listener.filter_chains[0].filters[0].typed_config.Unpack(manager)
    assert [each.name.rpartition(".")[2] for each in manager.http_filters] == [
        "cdn_loop",
        "grpc_web",
        "basic",
        "jwt_authn",
        "lua",
        "grpc_json_transcoder",
        "resource",
        "rbac",
        "router",
    ]


def test_a_service_with_dots_has_no_host_of_its_own():
    dotted = Service("foo", "a.web", "http", ())
    built = snapshot.build(replace(STATE, services=(dotted, STATE.services[1])))
    domains = {
        name: [
            domain
            for host in route_pb2.RouteConfiguration.FromString(each.value).virtual_hosts
            for domain in host.domains
        ]
        for name, each in built[ROUTES].items()
    }
    assert domains["service/foo/a.web"] == ["*"]
    assert domains["service/foo/web"] == ["*", "web--foo.localhost"]


def version(name: str, protocol: str, *ports: int, descriptors: bytes = b"") -> Version:
    return Version(Service("foo", "web", protocol, tuple(("h", port) for port in ports), descriptors), name)


@pytest.mark.parametrize(
    ("versions", "protocol", "ports", "descriptors"),
    [
        ([version("latest", "http", 1)], "http", [1], b""),
        ([version("v1", "http", 1), version("v2", "http", 2)], "http", [1, 2], b""),
        (
            [version("v9", "grpc", 1, descriptors=b"9"), version("latest", "grpc", 2, descriptors=b"l")],
            "grpc",
            [1, 2],
            b"l",
        ),
        ([version("v1", "grpc", 1), version("v2", "http", 2)], "http", [2], b""),
        ([version("latest", "http"), version("v1", "grpc", 1)], "grpc", [1], b""),
        ([version("latest", "http")], "http", [], b""),
    ],
)
def test_versions_of_a_service_become_one(versions, protocol, ports, descriptors):
    (service,) = merged(versions)
    assert service.protocol == protocol
    assert [port for _, port in service.endpoints] == ports
    assert service.descriptors == descriptors


def test_an_index_says_who_offers_a_full_name():
    two = (STATE.services[0], replace(STATE.services[0], name="copy"))
    table = route_pb2.RouteConfiguration.FromString(
        snapshot.build(replace(STATE, services=two))[ROUTES]["index/foo"].value
    )
    assert b"helloworld.Helloworld is offered by copy and helloworld" in table.SerializeToString()


def test_resources_count_all_types():
    assert len(Resources.of(1, [])) == 0
    assert len(snapshot.build(STATE)) > 30
