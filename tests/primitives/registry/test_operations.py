from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection, connections, transaction
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from micro.errors import InvalidArgument, NotFound, ResourceExhausted
from primitives.registry import models, operations, records
from primitives.registry.records import Node
from tenants.operations import create_namespace
from transport.callers import Account

ADMIN = Account(id="joe", type="user", issuer="shop", name="joe", scopes=("admin",))
NODE = Node(id="hello-1", host="127.0.0.1", port=4001, metadata={"pid": "7"})
OTHER = Node(id="hello-2", host="127.0.0.1", port=4002, metadata={})
DESCRIPTORS = FileDescriptorSet(file=[FileDescriptorProto(name="hello.proto")]).SerializeToString()


def register(node=NODE, namespace="shop", **changes):
    facts = {"service": "hello", "version": "latest", "protocol": "grpc", **changes}
    return operations.register(namespace=namespace, node=node, **facts)


@pytest.fixture
def shop(db):
    return create_namespace(slug="shop")


@pytest.mark.usefixtures("shop")
def test_a_snapshot_holds_what_was_registered():
    revision = register(descriptors=DESCRIPTORS)
    entry = records.Entry("shop", "hello", "latest", "grpc", (NODE,), DESCRIPTORS)
    assert records.snapshot() == records.Snapshot(revision, (entry,))


@pytest.mark.usefixtures("shop")
def test_every_change_takes_the_next_revision_and_the_same_again_takes_none():
    first = register()
    assert register() == first
    assert register(OTHER) == first + 1
    assert register(Node("hello-1", "127.0.0.1", 4003, {})) == first + 2
    assert operations.deregister(namespace="shop", node_ids=["hello-1", "absent"]) == first + 3
    assert operations.deregister(namespace="shop", node_ids=["hello-1"]) == first + 3
    assert [node.id for node in records.snapshot().entries[0].nodes] == ["hello-2"]


@pytest.mark.usefixtures("shop")
def test_one_namespace_cannot_drop_or_take_over_the_node_of_another():
    create_namespace(slug="rival")
    register()
    operations.deregister(namespace="rival", node_ids=["hello-1"])
    register(Node("hello-1", "127.0.0.1", 6666, {}), namespace="rival")
    entries = {entry.namespace: entry for entry in records.snapshot().entries}
    assert entries["shop"].nodes == (NODE,)
    assert entries["rival"].nodes[0].port == 6666


@pytest.mark.usefixtures("shop")
def test_versions_are_entries_of_their_own_and_the_newest_node_decides_what_one_speaks():
    register(Node("old", "127.0.0.1", 4000, {}), protocol="http")
    register(version="v2")
    register(OTHER, descriptors=DESCRIPTORS)
    latest, second = records.snapshot().entries
    assert (latest.version, latest.protocol, latest.nodes) == ("latest", "grpc", (OTHER,))
    assert (second.version, second.nodes) == ("v2", (NODE,))


@pytest.mark.usefixtures("shop")
def test_a_lease_that_lapses_takes_the_node_with_it_and_pruning_tells_the_readers():
    register(ttl=timedelta(seconds=-1))
    revision = register(OTHER)
    assert [node.id for node in records.snapshot().entries[0].nodes] == ["hello-2"]
    assert operations.prune(at=datetime.now(UTC)) == revision + 1
    assert models.Node.objects.across_namespaces().count() == 1
    assert operations.prune(at=datetime.now(UTC)) == revision + 1


@pytest.mark.usefixtures("shop")
def test_a_renewed_lease_changes_no_revision_and_one_that_had_lapsed_does():
    revision = register(ttl=timedelta(seconds=60))
    before = models.Lease.objects.get().expires_at
    assert register(ttl=timedelta(seconds=90)) == revision
    assert models.Lease.objects.get().expires_at > before
    models.Lease.objects.update(expires_at=datetime.now(UTC))
    assert register(ttl=timedelta(seconds=90)) == revision + 1


@pytest.mark.usefixtures("shop")
def test_a_service_may_drop_its_own_leased_nodes_only():
    register()
    register(OTHER, ttl=timedelta(seconds=60))
    operations.deregister(namespace="shop", node_ids=["hello-1", "hello-2"], leased_only=True)
    assert [node.id for node in records.snapshot().entries[0].nodes] == ["hello-1"]


def announce(node=NODE, said=b"\x0a\x05hello"):
    facts = {"service": "hello", "version": "latest", "protocol": "grpc", "ttl": timedelta(seconds=60)}
    operations.announce(namespace="shop", nodes=[node], advertised=said, by=ADMIN, **facts)


@pytest.mark.usefixtures("shop")
def test_a_replica_that_announced_itself_before_the_runner_did_is_one_node_and_keeps_what_it_said(settings):
    settings.MICRO_PROFILE = "local"
    itself = Node("hello-uuid", NODE.host, NODE.port, {})
    announce(itself)
    revision = register()
    row = models.Node.objects.across_namespaces().get()
    assert (row.node_id, row.is_leased, bytes(row.advertised)) == (NODE.id, False, b"\x0a\x05hello")
    announce(itself)
    assert register() == revision, "nobody is woken"


@pytest.mark.usefixtures("shop")
def test_what_a_replica_says_later_is_noted_with_the_runners_node_and_does_not_make_it_the_newest():
    register()
    newest = register(OTHER)
    announce(Node("hello-uuid", NODE.host, NODE.port, {}))
    assert records.snapshot().revision == newest + 1, "who watches is told"
    rows = models.Node.objects.across_namespaces().order_by("revision")
    assert [(row.node_id, bytes(row.advertised)) for row in rows] == [
        (NODE.id, b"\x0a\x05hello"),
        (OTHER.id, b""),
    ]


@pytest.mark.usefixtures("shop")
def test_leases_live_in_an_unlogged_table():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'registry_lease'")
        assert cursor.fetchone() == ("u",)


@pytest.mark.django_db
def test_a_namespace_that_is_not_there_is_refused():
    with pytest.raises(NotFound, match="'absent'"):
        register(namespace="absent")


@pytest.mark.usefixtures("shop")
def test_descriptors_that_are_none_are_refused_to_a_caller_and_left_out_of_a_replica_which_says_so():
    with pytest.raises(InvalidArgument, match="FileDescriptorSet"):
        register(descriptors=b"\xff\xff", ttl=timedelta(seconds=60))
    register(descriptors=b"\xff\xff")
    (entry,) = records.snapshot().entries
    assert entry.descriptors == b""
    assert "they are no FileDescriptorSet" in records.warnings(namespace="shop")["hello"]
    register(descriptors=DESCRIPTORS)
    assert records.warnings(namespace="shop") == {}


def described(size_bytes: int, mark: str = "") -> bytes:
    """A FileDescriptorSet of about so many bytes."""
    file = FileDescriptorProto(name=f"hello{mark}.proto")
    file.source_code_info.location.add(leading_comments="x" * size_bytes)
    return FileDescriptorSet(file=[file]).SerializeToString()


@pytest.mark.usefixtures("shop")
def test_a_namespace_tells_so_much_of_its_services_and_no_more(settings):
    settings.MICRO_DEFAULT_INTERFACE_BYTES = 100_000
    lease = timedelta(seconds=60)
    register(descriptors=described(60_000))
    with pytest.raises(ResourceExhausted, match="of themselves"):
        register(OTHER, version="2", descriptors=described(60_000), ttl=lease)
    with pytest.raises(ResourceExhausted, match="of themselves"):
        register(OTHER, advertised=b"x" * 60_000, ttl=lease)
    register(OTHER, version="2", descriptors=described(60_000))
    assert "of themselves" in records.warnings(namespace="shop")["hello"]
    assert {entry.version: len(entry.descriptors) > 0 for entry in records.snapshot().entries} == {
        "latest": True,
        "2": False,
    }
    register(descriptors=described(20_000))
    register(OTHER, version="2", descriptors=described(60_000))
    assert records.warnings(namespace="shop") == {}, "there is room again"


@pytest.mark.usefixtures("shop")
def test_replicas_of_one_version_share_what_it_tells(settings):
    settings.MICRO_DEFAULT_INTERFACE_BYTES = 100_000
    for number in range(5):
        node = Node(id=f"hello-{number}", host="127.0.0.1", port=4001 + number, metadata={})
        register(node, descriptors=described(60_000), ttl=timedelta(seconds=60))
    assert len(records.snapshot().entries[0].nodes) == 5


@pytest.mark.usefixtures("shop")
def test_descriptors_that_nobody_has_any_more_take_no_more_than_so_much_room(monkeypatch):
    monkeypatch.setattr(operations, "LARGEST_ORPHANS_BYTES", 100_000)
    for number in range(5):
        register(descriptors=described(40_000, str(number)), ttl=timedelta(seconds=60))
    operations.prune(at=datetime.now(UTC))
    assert models.DescriptorSet.objects.count() == 3, "the one in use and the two that came last"


@pytest.mark.usefixtures("shop")
def test_what_the_gateway_does_not_use_is_noted_and_forgotten():
    register()
    operations.note_unused({("shop", "hello"): "It is odd.", ("gone", "hello"): "It is odd."})
    assert records.warnings(namespace="shop") == {"hello": "It is odd."}
    operations.note_unused({})
    assert records.warnings(namespace="shop") == {}


@pytest.mark.usefixtures("shop")
def test_descriptors_are_kept_once_and_for_as_long_as_a_node_has_them():
    register(descriptors=DESCRIPTORS)
    register(OTHER, descriptors=DESCRIPTORS)
    assert models.DescriptorSet.objects.count() == 1
    operations.deregister(namespace="shop", node_ids=["hello-1", "hello-2"])
    operations.prune(at=datetime.now(UTC))
    assert models.DescriptorSet.objects.count() == 1, "a node that comes back soon finds them"
    operations.prune(at=datetime.now(UTC) + timedelta(hours=2))
    assert models.DescriptorSet.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_revisions_commit_in_their_order():
    create_namespace(slug="shop")
    register()
    second_done = threading.Event()
    revisions = {}

    def second() -> None:
        revisions["second"] = register(OTHER)
        second_done.set()
        connections.close_all()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        revisions["first"] = register(Node("slow", "127.0.0.1", 4005, {}))
        thread.start()
        assert not second_done.wait(0.3), "the later change waits until the earlier one is committed"
    thread.join()
    assert revisions["second"] == revisions["first"] + 1


@pytest.mark.django_db(transaction=True)
def test_two_that_register_one_new_node_at_once_both_succeed():
    create_namespace(slug="shop")
    revisions, errors = [], []

    def attempt() -> None:
        try:
            revisions.append(register())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(records.snapshot().entries[0].nodes) == 1


async def in_thread(function, *args, **kwargs):
    """Call it where the ORM may be used, and leave no connection behind."""

    def call():
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


def dsn() -> str:
    settings = connection.settings_dict
    return psycopg.conninfo.make_conninfo(dbname=settings["NAME"], user=settings["USER"], host=settings["HOST"])


@pytest.mark.django_db(transaction=True)
async def test_a_change_wakes_the_readers_and_a_loss_of_the_connection_does_not_stop_them():
    await in_thread(create_namespace, slug="shop")
    changes = records.changes(dsn())
    await asyncio.wait_for(anext(changes), 5)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await in_thread(register)
    await asyncio.wait_for(waiting, 2)
    waiting = asyncio.ensure_future(anext(changes))
    await in_thread(_terminate_listeners)
    await asyncio.wait_for(waiting, 5)
    waiting = asyncio.ensure_future(anext(changes))
    await in_thread(register, OTHER)
    await asyncio.wait_for(waiting, 2)
    await changes.aclose()


def _terminate_listeners() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %%'")


AT = datetime(2030, 1, 1, tzinfo=UTC)


def ack(envoy_id, revision, *, pid=None, connected=True, at=AT):
    pid = os.getpid() if pid is None else pid
    operations.record_ack(envoy_id=envoy_id, pid=pid, revision=revision, connected=connected, at=at)


@pytest.fixture
def gone() -> int:
    """The process id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.django_db
def test_without_an_envoy_nothing_is_acknowledged():
    assert not operations.acknowledged(1, at=AT)


@pytest.mark.django_db
def test_a_revision_is_acknowledged_when_every_live_envoy_has_it():
    ack("a", 5)
    ack("b", 4)
    assert operations.acknowledged(4, at=AT)
    assert not operations.acknowledged(5, at=AT)
    ack("b", 6)
    assert operations.acknowledged(5, at=AT)


@pytest.mark.django_db
def test_an_envoy_counts_until_it_is_gone_for_a_minute_and_has_no_process(gone):
    ack("live", 9)
    ack("lost", 1, pid=gone, connected=False)
    assert not operations.acknowledged(9, at=AT + timedelta(seconds=59))
    assert operations.acknowledged(9, at=AT + timedelta(seconds=61))
    ack("lost", 1, connected=False)
    assert not operations.acknowledged(9, at=AT + timedelta(seconds=61)), "its process still runs"


@pytest.mark.django_db
def test_the_process_number_of_a_dead_envoy_given_to_another_process_keeps_nothing_alive():
    ack("live", 9, at=datetime.now(UTC))
    ack("lost", 1, at=datetime.now(UTC) - timedelta(days=3650))
    assert operations.acknowledged(9, at=datetime.now(UTC))


@pytest.mark.django_db
def test_an_envoy_that_is_long_gone_is_forgotten_and_a_silent_one_is_not(gone):
    heard_at = datetime.now(UTC) + timedelta(minutes=1)
    ack("live", 9, at=heard_at)
    ack("lost", 1, pid=gone, at=heard_at)
    operations.prune(at=heard_at + timedelta(minutes=59))
    assert models.EnvoyAck.objects.count() == 2
    operations.prune(at=heard_at + timedelta(minutes=61))
    assert models.EnvoyAck.objects.get().envoy_id == "live"
