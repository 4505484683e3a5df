"""Whatever a tenant's service tells of itself, every other service is served, and so is this one, in frames."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from envoy.config.route.v3 import route_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway import routes, snapshot
from gateway.journal import Journal
from gateway.remembered import Remembered
from gateway.resources import CLUSTER, ROUTES
from gateway.state import Service

from . import backends
from .test_snapshot import HELLO, STATE

sys.path.append(str(Path(__file__).parents[1] / "attacks"))

from bombs import BOMBS, own_type

HOSTILE = ("foo", "hostile")


def served(*descriptors: bytes, **arguments: object):
    """The resources for STATE with a service more for each of `descriptors`."""
    more = [
        Service("foo", f"hostile{n or ''}", "grpc", (("127.0.0.1", 9),), each) for n, each in enumerate(descriptors)
    ]
    return snapshot.build(replace(STATE, services=(*STATE.services, *more)), **arguments)  # type: ignore[arg-type]


def require_served(resources) -> None:
    """Everybody has routes and a cluster; the good one its transcoder."""
    good = route_pb2.RouteConfiguration.FromString(resources[ROUTES]["service/foo/helloworld"].value)
    assert routes.TRANSCODER in good.typed_per_filter_config
    assert {"foo/helloworld", "foo/web", "bar/web", "foo/hostile"} <= resources[CLUSTER].keys()
    assert "service/foo/hostile" in resources[ROUTES]


@pytest.mark.parametrize("bomb", [name for name in BOMBS if name not in {"a long package", "its own type"}])
def test_a_bomb_is_served_in_frames_with_a_reason(bomb):
    resources = served(BOMBS[bomb]())
    require_served(resources)
    assert "JSON goes to it in frames" in resources.unused[HOSTILE]
    assert len(resources[ROUTES]["service/foo/hostile"].value) < 2000


def test_garbled_descriptors_leave_everybody_served():
    chance = random.Random(9)  # noqa: S311 - the same bytes in every run
    files = FileDescriptorSet.FromString(HELLO)
    for service in files.file[0].service:
        for method in service.method:
            method.options.Extensions[annotations_pb2.http].get = "/v1/{name=a/*}"
    good = files.SerializeToString()
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        require_served(served(bytes(bad)))


def test_what_nobody_expected_of_one_service_leaves_that_one_in_frames(monkeypatch):
    def stumble(service, *arguments):
        if service.name == "hostile" and service.descriptors:
            raise RuntimeError("nobody expected this")
        return genuine(service, *arguments)

    genuine = routes.service_table
    monkeypatch.setattr(routes, "service_table", stumble)
    resources = served(backends.descriptors("odd", "Odd"))
    require_served(resources)
    assert "can make nothing of them" in resources.unused[HOSTILE]


def test_a_service_of_which_nothing_can_be_made_is_left_out(monkeypatch):
    def stumble(service, *arguments):
        if service.name == "hostile":
            raise MemoryError
        return genuine(service, *arguments)

    genuine = routes.service_table
    monkeypatch.setattr(routes, "service_table", stumble)
    for _ in range(2):
        Remembered.forget_unused()
    resources = served(backends.descriptors("even", "Even"))
    assert "foo/hostile" not in resources[CLUSTER]
    assert "foo/helloworld" in resources[CLUSTER]
    assert resources.unused[HOSTILE]


def test_services_tell_so_much_in_each_namespace_and_the_rest_goes_without():
    descriptors = own_type(fields=2, methods=1000)
    services = tuple(Service("foo", f"s{n:02}", "grpc", (), descriptors) for n in range(20))
    other = Service("bar", "s", "grpc", (), descriptors)
    resources = snapshot.build(replace(STATE, services=(*services, other)))
    told = {name for name in services if ("foo", name.name) not in resources.unused}
    assert 3 < len(told) < 12
    assert ("bar", "s") not in resources.unused
    assert sum(len(each.value) for each in resources[ROUTES].values()) < 64 << 20


def test_a_suspect_is_served_in_frames():
    odd = Service("foo", "hostile", "grpc", (), backends.descriptors("odd", "Odd"))
    resources = served(odd.descriptors, suspects=frozenset({snapshot.fingerprint(odd)}))
    require_served(resources)
    assert "ended more than once" in resources.unused[HOSTILE]


def test_each_service_is_announced_before_anything_is_made_of_it():
    begun: list[str] = []
    served(backends.descriptors("odd", "Odd"), begin=begun.append)
    assert [name.rpartition(":")[0] for name in begun] == ["bar:web", "foo:helloworld", "foo:hostile", "foo:web"]


def test_the_journal_suspects_a_service_over_which_the_process_died_twice(tmp_path):
    for deaths in range(3):
        journal = Journal(tmp_path)
        assert journal.suspects == (frozenset({"foo:odd:1"}) if deaths == 2 else frozenset())
        journal.begin("foo:good:1")
        journal.begin("foo:odd:1")  # and here it dies
    journal = Journal(tmp_path)
    journal.begin("foo:good:1")
    journal.finish()
    assert Journal(tmp_path).suspects == {"foo:odd:1"}


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": "b"}', b"\xff", b'{"a": [1]}'])
def test_a_damaged_journal_is_an_empty_one(tmp_path, content):
    (tmp_path / "deaths.json").write_bytes(content)
    (tmp_path / "at-work").write_bytes(content)
    assert Journal(tmp_path).suspects == frozenset()


def test_what_a_snapshot_does_not_need_is_forgotten():
    worked_out: list[int] = []

    @Remembered
    def double(number: int) -> int:
        worked_out.append(number)
        return 2 * number

    assert [double(1), double(1), double(2)] == [2, 2, 4]
    Remembered.forget_unused()
    assert double(1) == 2
    Remembered.forget_unused()
    assert [double(1), double(2)] == [2, 4]
    assert worked_out == [1, 2, 2]


def test_a_refusal_names_some_of_the_services_that_offer_the_same_and_counts_the_others():
    offers = [Service("foo", f"s{number:03}", "grpc", (), HELLO) for number in range(200)]
    table = routes.index_table("foo", offers)
    assert b"s000 and s001 and s002 and s003 and s004 and 195 more" in table.SerializeToString()
