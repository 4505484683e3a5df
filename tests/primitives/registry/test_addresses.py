"""Which addresses may be announced, by whom, and which of them are still served later."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest

from micro.errors import PermissionDenied
from primitives.registry import addresses, models, operations, records
from primitives.registry.addresses import PLATFORM, Holder
from primitives.registry.records import Node
from tenants.operations import create_namespace
from tests.fakes import FakeMachine
from transport.callers import Account

OWN = Holder("shop", "hello", "hello-latest-1")
OTHERS = Holder("rival", "secrets", "secrets-latest-1")
ADMIN = Account(id="joe", type="user", issuer="shop", name="joe", scopes=("admin",))
MEMBER = Account(id="jim", type="user", issuer="shop", name="jim")
SERVICE = Account(id="hello-latest-1", type="service", issuer="shop", name="hello-latest-1", scopes=("service",))


@pytest.fixture
def machine(settings):
    """A machine whose ports a test gives away; the profile is the local one."""
    settings.MICRO_PROFILE = "local"
    before = addresses._machines[0]
    addresses.learn(machine := FakeMachine())
    yield machine
    addresses.learn(before)


@pytest.fixture
def shop(db):
    create_namespace(slug="rival")
    return create_namespace(slug="shop")


def announce(host="127.0.0.1", port=3000, *, by=ADMIN, service="hello", namespace="shop", node_id="n-1"):
    facts = {"service": service, "version": "latest", "protocol": "http", "ttl": timedelta(seconds=60)}
    operations.announce(namespace=namespace, nodes=[Node(node_id, host, port, {})], by=by, **facts)


def run(host="10.201.0.2", port=8080, *, namespace="shop", service="hello"):
    """Register a replica as the runner does."""
    facts = {"service": service, "version": "latest", "protocol": "http"}
    operations.register(namespace=namespace, node=Node(f"{service}-replica", host, port, {}), **facts)


def served():
    return sorted((node.host, node.port) for entry in records.snapshot().entries for node in entry.nodes)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104 - announced, not bound
        "::",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "64:ff9b::127.0.0.1",
        "::127.0.0.1",
        "::1%lo",
        "fe80::1",
        "169.254.169.254",
        "fd00:ec2::254",
        "172.17.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "localhost",
        "shop.localhost",
        "localhost.localdomain",
        "",
        "@",
        "1" * 250,
        socket.gethostname(),
    ],
)
def test_no_address_but_canonical_loopback_and_that_of_a_replica_is_taken(machine, host):
    with pytest.raises(PermissionDenied, match=r"is neither loopback nor the address of a replica of hello$"):
        announce(host)
    assert served() == []


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1"])
def test_a_port_is_held_whatever_the_loopback_address(machine, settings, host):
    machine.ports = {3001: [OTHERS], 3002: [OWN, OTHERS], 3003: [PLATFORM], 3004: [Holder("shop", "other", "o-1")]}
    settings.NATS_URL, settings.DATABASE_URL = "nats://micro:x@127.0.0.1:3005", "postgresql://db.lan/micro"
    ours = [settings.MICRO_API_ADDRESS, settings.MICRO_PROXY_ADDRESS, settings.MICRO_NETWORK_ADDRESS]
    for port in [3003, 3005, 5432, settings.MICRO_WEB_ADDRESS[1], *(address[1] for address in ours)]:
        with pytest.raises(PermissionDenied, match=rf"^port {port} is the platform's own$"):
            announce(host, port)
    for port in (3001, 3002, 3004):
        with pytest.raises(PermissionDenied, match=rf"^port {port} belongs to another service$"):
            announce(host, port)
    assert served() == []
    announce(host)
    assert served() == [(host, 3000)]


@pytest.mark.usefixtures("shop")
def test_nobody_announces_loopback_where_replicas_are_containers_or_in_another_profile(machine, settings):
    machine.is_shared = False
    with pytest.raises(PermissionDenied, match="in the local profile alone"):
        announce()
    machine.is_shared, settings.MICRO_PROFILE = True, "platform"
    with pytest.raises(PermissionDenied, match="in the local profile alone"):
        announce()


@pytest.mark.usefixtures("shop")
def test_what_another_namespace_has_announced_is_its_own_while_it_lasts(machine):
    rival = Account(id="eve", type="user", issuer="rival", name="eve", scopes=("admin",))
    announce()
    announce(node_id="n-2", service="alias")
    with pytest.raises(PermissionDenied, match="belongs to another service"):
        announce(namespace="rival", by=rival)
    operations.deregister(namespace="shop", node_ids=["n-1", "n-2"])
    announce(namespace="rival", by=rival)
    assert served() == [("127.0.0.1", 3000)]


@pytest.mark.usefixtures("shop")
def test_a_services_account_announces_its_own_releases_replicas_only(machine):
    machine.ports = {4001: [OWN], 4002: [Holder("shop", "hello", "hello-latest-2")], 4003: [OTHERS]}
    machine.nodes = {"hello-replica": "hello-latest-1"}
    run("127.0.0.1", 4004)
    announce(port=4001, by=SERVICE)
    for port in (3000, 4002, 4003):
        with pytest.raises(PermissionDenied):
            announce(port=port, by=SERVICE)
    for namespace, account in (("shop", MEMBER), ("rival", SERVICE)):
        with pytest.raises(PermissionDenied):
            announce(namespace=namespace, port=3000, by=account)
    assert served() == [("127.0.0.1", 4001), ("127.0.0.1", 4004)]


@pytest.mark.usefixtures("shop")
def test_in_a_container_a_services_account_announces_its_own_releases_container_on_any_port(machine):
    machine.is_shared = False
    run()
    with pytest.raises(PermissionDenied):
        announce("10.201.0.2", 9000, by=SERVICE)
    machine.nodes = {"hello-replica": "hello-latest-1"}
    announce("10.201.0.2", 9000, by=SERVICE)
    for host in ("10.201.0.1", "10.201.0.3", "127.0.0.1"):
        with pytest.raises(PermissionDenied):
            announce(host, 8080, by=SERVICE, node_id=host)
    with pytest.raises(PermissionDenied):
        announce("10.201.0.2", 8080, by=SERVICE, service="alias")
    assert served() == [("10.201.0.2", 8080), ("10.201.0.2", 9000)]


@pytest.mark.usefixtures("shop")
def test_what_was_free_when_it_was_announced_is_not_served_once_it_is_anothers(machine):
    announce()
    assert served() == [("127.0.0.1", 3000)]
    machine.ports = {3000: [OTHERS]}
    assert served() == []
    with pytest.raises(PermissionDenied):
        announce()
    machine.ports = {}
    assert served() == [("127.0.0.1", 3000)]


@pytest.mark.usefixtures("shop")
def test_what_an_older_server_took_is_not_served(machine, settings):
    doors = [settings.MICRO_API_ADDRESS, ("::", 3000), ("172.17.0.1", 8443), ("127.0.0.1", 4001)]
    facts = {"service": "hello", "version": "latest", "protocol": "http", "ttl": timedelta(seconds=60)}
    for index, (host, port) in enumerate(doors):
        operations.register(namespace="shop", node=Node(f"old-{index}", host, port, {}), **facts)
    machine.ports = {4001: [OTHERS]}
    assert models.Node.objects.across_namespaces().count() == 4
    assert served() == []
    run()
    assert served() == [("10.201.0.2", 8080)]
    machine.is_shared = False
    assert served() == [("10.201.0.2", 8080)]


@pytest.mark.usefixtures("shop")
def test_a_replica_that_is_given_a_port_takes_it_from_those_who_announced_it(machine):
    announce()
    announce("::1", node_id="n-2")
    announce(port=3001, node_id="n-3")
    assert records.announced_ports() == {3000, 3001}
    revision = operations.vacate(port=3000)
    assert revision == records.current_revision()
    assert served() == [("127.0.0.1", 3001)]
    assert operations.vacate(port=3000) == revision, "nobody is woken where nothing was announced"
