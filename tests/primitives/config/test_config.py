from __future__ import annotations

import asyncio
import time

import grpc
import grpc.aio
import pytest

from micro.proto import config_pb2
from primitives.config import operations
from tests.primitives.config.conftest import Config
from tests.primitives.store.conftest import limit, refused, sql
from transport.tenancy import in_public

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DENIED = grpc.StatusCode.PERMISSION_DENIED


async def test_a_namespace_in_which_nothing_was_set_is_not_found(shop):
    for call in (shop.get(), shop.get("a"), shop.delete("a"), shop.history()):
        async with refused(NOT_FOUND, match="Not found"):
            await call


async def test_values_are_addressed_by_dotted_paths(shop):
    await shop.set("db.host", "localhost")
    await shop.set("db.port", 5432)
    assert await shop.get_text("db") == '{"host":"localhost","port":5432}'
    assert await shop.get("db.port") == 5432
    assert await shop.get() == {"db": {"host": "localhost", "port": 5432}}
    assert await shop.get("db.absent") is None
    assert await shop.get("absent") is None
    assert await shop.get("db.port.deeper") is None


async def test_objects_are_merged_leaf_by_leaf_and_the_rest_is_replaced(shop):
    await shop.set("a", {"b": 1, "c": {"d": 2}})
    await shop.set("a", {"c": {"e": 3}})
    assert await shop.get("a") == {"b": 1, "c": {"d": 2, "e": 3}}
    await shop.set("a.c", "flat")
    assert await shop.get("a") == {"b": 1, "c": "flat"}
    await shop.set("a.c.deep", True)
    assert await shop.get("a") == {"b": 1, "c": {"deep": True}}
    await shop.set("a", [1, {"x": 2}])
    assert await shop.get("a") == [1, {"x": 2}]
    await shop.set("a", {})
    assert await shop.get("a") == {}
    await shop.set("", {"top": None})
    assert await shop.get() == {"a": {}, "top": None}
    await shop.set("a.b", 1)
    await shop.set("a", {})
    assert await shop.get("a") == {"b": 1}


async def test_deleting_takes_the_subtree_and_no_neighbour(shop):
    await shop.set("", {"a": {"b": 1, "bc": 2}, "ab": 3})
    await shop.delete("a.b")
    assert await shop.get() == {"a": {"bc": 2}, "ab": 3}
    before = await shop.delete("absent")
    assert await shop.delete("a.b") == before
    await shop.delete("a")
    assert await shop.get() == {"ab": 3}
    await shop.delete("")
    assert await shop.get() == {}


async def test_any_key_that_is_no_path_is_kept_exactly(shop):
    value = {"a.b": 1, "": 2, " ": 3, "*": 4, "é👍": 5, "%s": 6, "'": 7, "{}": 8, "\\": 9}
    await shop.set("odd", value)
    assert await shop.get("odd") == value
    await shop.set("%(id)s.ключ. .*", "x")
    assert await shop.get("%(id)s.ключ. .*") == "x"


async def test_secrets_are_masked_unless_asked_for_and_encrypted_at_rest(shop):
    await shop.set("db", {"password": "hunter2", "more": {"list": [1, 2]}}, secret=True)
    await shop.set("db.host", "localhost")
    assert await shop.get("db") == {"host": "localhost", "more": {"list": "[secret]"}, "password": "[secret]"}
    assert await shop.get("db.password") == "[secret]"
    assert await shop.get("db.password", secret=True) == "hunter2"
    assert await shop.get("db.more", secret=True) == {"list": [1, 2]}
    assert "hunter2" not in str([change for revision in await shop.history() for change in revision.changes])
    assert "hunter2" not in str(await sql("SELECT * FROM config_leaf"))
    assert b"hunter2" not in b"".join(bytes(row[0] or b"") for row in await sql("SELECT sealed FROM config_leaf"))
    read = await shop.call("Config.Read", config_pb2.ReadRequest(path="db"), config_pb2.ReadResponse)
    assert read.change.changeSet.data == await shop.get_text("db")
    assert read.change.changeSet.format == "json"


async def test_a_sealed_value_that_was_moved_cannot_be_opened(shop):
    await shop.set("one", "uno", secret=True)
    await sql("UPDATE config_leaf SET path = '{two}'")
    await shop.set("other", 1)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, match="set it anew"):
        await shop.get("two", secret=True)


async def test_concurrent_sets_of_different_keys_all_survive(shop):
    revisions = await asyncio.gather(*(shop.set(f"k{number}", number) for number in range(100)))
    assert sorted(revisions) == list(range(1, 101))
    assert await shop.get() == {f"k{number}": number for number in range(100)}


async def test_what_was_set_is_read_at_once(shop):
    for number in range(100):
        await shop.set("n", number)
        assert await shop.get("n") == number


async def test_setting_what_is_there_makes_no_revision(shop):
    first = await shop.set("a", {"b": 1})
    assert await shop.set("a.b", 1) == first
    assert await shop.set("a", {}) == first
    secret = await shop.set("a.b", 1, secret=True)
    assert secret == first + 1
    assert await shop.set("a.b", 1, secret=True) == secret
    assert len(await shop.history()) == 2


async def test_the_past_can_be_read_by_revision_and_by_time(shop):
    first = await shop.set("a", {"b": 1, "c": 1})
    between = int(time.time() * 1000) + 5
    await asyncio.sleep(0.02)
    second = await shop.set("a.b", 2)
    third = await shop.delete("a")
    assert await shop.get("a", as_of_revision=first) == {"b": 1, "c": 1}
    assert await shop.get("a", as_of_revision=second) == {"b": 2, "c": 1}
    assert await shop.get("a", as_of_revision=third) is None
    assert await shop.get("a", as_of_time=between) == {"b": 1, "c": 1}
    times = {revision.number: revision.time for revision in await shop.history()}
    assert await shop.get("a", as_of_time=times[second]) in ({"b": 2, "c": 1}, None)
    async with refused(NOT_FOUND, match="no revision 4 yet"):
        await shop.get("a", as_of_revision=4)
    async with refused(NOT_FOUND):
        await shop.get("a", as_of_time=1000)


async def test_history_tells_who_did_what(shop):
    await shop.set("a.b", 1)
    await shop.set("a", {"b": 2, "c": "new"})
    await shop.set("other", True)
    await shop.delete("a.b")
    history = await shop.history("a")
    assert [(revision.number, revision.by, revision.action, revision.path) for revision in history] == [
        (4, "joe", "delete", "a.b"),
        (2, "joe", "set", "a"),
        (1, "joe", "set", "a.b"),
    ]
    assert [(change.path, change.before, change.after) for change in history[1].changes] == [
        ("a.b", "1", "2"),
        ("a.c", "", '"new"'),
    ]
    assert abs(history[0].time / 1000 - time.time()) < 10
    assert [revision.number for revision in await shop.history(limit=2)] == [4, 3]
    assert [revision.number for revision in await shop.history(before=3)] == [2, 1]


async def test_only_so_many_revisions_are_kept(shop, monkeypatch):
    monkeypatch.setattr(operations, "KEPT_REVISIONS", 5)
    for number in range(1, 21):
        await shop.set("n", number)
    assert [revision.number for revision in await shop.history()] == [20, 19, 18, 17, 16, 15]
    assert await shop.get("n", as_of_revision=15) == 15
    async with refused(NOT_FOUND, match="no longer kept: the oldest one is 15"):
        await shop.get("n", as_of_revision=14)
    assert await sql("SELECT count(*) FROM config_leaf") == [(6,)]


async def test_the_past_takes_no_more_room_than_ten_times_the_present_may(shop):
    await shop.set("n", 1)
    await in_public(limit, "shop", config_bytes=1000)
    for number in range(40):
        await shop.set("n", f"{number:800}")
    ((closed_bytes, oldest),) = await sql("SELECT closed_bytes, oldest FROM config_tree")
    assert closed_bytes <= 10_000
    assert await sql("SELECT sum(size_bytes)::int8 FROM config_leaf WHERE until IS NOT NULL") == [(closed_bytes,)]
    assert (await shop.get("n", as_of_revision=oldest)).strip() == f"{oldest - 2}"


async def test_a_tree_that_is_too_large_is_refused_with_a_hint(shop):
    await shop.set("n", 1)
    await in_public(limit, "shop", config_bytes=100)
    async with refused(EXHAUSTED, match="may have 100 bytes"):
        await shop.set("big", "x" * 100)
    await shop.set("n", "x" * 50)

    async def attempt(number: int) -> bool:
        try:
            await shop.set(f"k{number:02}", "1234567")
        except grpc.aio.AioRpcError as error:
            if error.code() is not EXHAUSTED:
                raise
            return False
        return True

    done = await asyncio.gather(*(attempt(number) for number in range(100)))
    assert done.count(True) == (100 - 53) // 12


@pytest.mark.parametrize(
    ("request_", "endpoint", "field"),
    [
        (config_pb2.SetRequest(path="a"), "Config.Set", "invalid change"),
        (config_pb2.SetRequest(path="a", value={"data": "{"}), "Config.Set", "Request is invalid JSON"),
        (config_pb2.SetRequest(path="a", value={"data": '{"a\\u0000": 1}'}), "Config.Set", "NUL"),
        (config_pb2.SetRequest(path="x" * 1025, value={"data": "1"}), "Config.Set", "path"),
        (config_pb2.SetRequest(path="a", value={"data": '{"b":' * 40 + "1" + "}" * 40}), "Config.Set", "path"),
        (config_pb2.GetRequest(path="a" + ".a" * 40), "Config.Get", "path"),
        (config_pb2.GetRequest(as_of_time=-1), "Config.Get", "as_of_time"),
        (config_pb2.GetRequest(as_of_time=2**63 - 1), "Config.Get", "as_of_time"),
        (config_pb2.GetRequest(as_of_revision=-1), "Config.Get", "as_of_revision"),
        (config_pb2.GetRequest(as_of_revision=1, as_of_time=1), "Config.Get", "not both"),
        (config_pb2.RevisionsRequest(before=-1), "Revisions.List", "before"),
        (config_pb2.WatchRequest(after_revision=-1), "Revisions.Watch", "after_revision"),
    ],
)
async def test_bad_requests_are_refused_by_name(shop, request_, endpoint, field):
    await shop.set("n", 1)
    async with refused(INVALID, match=field):
        await shop.call.stream(endpoint, [request_], config_pb2.GetResponse)


async def test_a_secret_with_nul_and_everything_is_kept(shop):
    await shop.set("s", "a\0b\n👍", secret=True)
    await shop.set("t", "a\0b")
    assert await shop.get("s", secret=True) == "a\0b\n👍"
    assert await shop.get("t") == "a\0b"


ATTEMPTS = [
    ("Config.Get", config_pb2.GetRequest),
    ("Config.Read", config_pb2.ReadRequest),
    ("Config.Delete", config_pb2.DeleteRequest),
    ("Config.Set", config_pb2.SetRequest),
    ("Revisions.List", config_pb2.RevisionsRequest),
    ("Revisions.Watch", config_pb2.WatchRequest),
]


def test_every_method_is_tried_by_a_stranger():
    services = config_pb2.DESCRIPTOR.services_by_name.values()
    assert {endpoint for endpoint, _ in ATTEMPTS} == {
        f"{service.name}.{method.name}" for service in services for method in service.methods
    }


@pytest.mark.parametrize(("endpoint", "kind"), ATTEMPTS)
async def test_anothers_tree_is_refused_the_same_whether_it_exists_or_not(channel, shop, rival, endpoint, kind):
    await shop.set("a", "ours")
    answers = set()
    for namespace in ("shop", "micro", "absent", "*", "shop "):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rival.call.stream(endpoint, [kind(namespace=namespace, path="a")], config_pb2.GetResponse)
        answers.add((caught.value.code(), caught.value.details()))
    assert {code for code, _ in answers} == {DENIED}
    assert len(answers) == 1
    async with refused(grpc.StatusCode.UNAUTHENTICATED):
        await Config(channel, None).call.stream(endpoint, [kind(namespace="shop")], config_pb2.GetResponse)
    assert await shop.get() == {"a": "ours"}


async def test_each_namespace_has_a_tree_of_its_own(shop, rival):
    await shop.set("a", "ours")
    await rival.set("a", "theirs")
    assert (await shop.get("a"), await rival.get("a")) == ("ours", "theirs")
    rival.call.metadata.append(("micro-namespace", "shop"))
    await rival.delete("")
    assert await shop.get("a") == "ours"
