"""Every method of every service of the sidecar, and a second tenant who tries to reach what is the first's.

A row is the request with which the first tenant uses what is its own. The attempts are made from the rows and their
descriptors: another's name in each field that names a tenant, in headers, and in all other texts. A method without a
row fails.
"""

# ruff: noqa: F811 - the fixture `whole` is imported
from __future__ import annotations

import asyncio
import copy
import io
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from django.utils.timezone import now
from google.protobuf.message import Message

from micro.proto import api_pb2 as api
from micro.proto import auth_pb2 as auth
from micro.proto import broker_pb2 as broker
from micro.proto import config_pb2 as config
from micro.proto import debug_pb2 as debug
from micro.proto import events_pb2 as events
from micro.proto import network_pb2 as network
from micro.proto import registry_pb2 as registry
from micro.proto import router_pb2 as router
from micro.proto import runtime_pb2 as runtime
from micro.proto import signup_pb2 as signup
from micro.proto import store_pb2 as store
from transport.tenancy import in_public, in_tenant

from .whole import JSON, STILL_OPEN, Answer, Whole, whole  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed

MARK = "belongs-to-shop"  # in what shop has, and in no request of the rival's
DENIED = ("PERMISSION_DENIED", "access denied to namespace")
TENANT_FIELDS = {"namespace", "database", "domain", "network"}
TARGETS = ("shop", "nowhere", "*", "%", "+", "shop ", "SHOP", "../shop", "rival/../shop", "shop'--", "ns_2")
WILD = (
    "*",
    "%",
    ">",
    "#",
    "+",
    "/",
    ".",
    "..",
    "../shop/hidden",
    "shop/hidden",
    "shop.hidden",
    "shop.>",
    "hidden*",
    "_",
)
HEADERS = (
    {"micro-namespace": "shop"},
    {"micro-namespace": "*"},
    {"micro-namespace": "micro"},
    {"micro-database": "shop", "micro-table": "hidden", "x-micro-namespace": "shop", "micro-from-service": "shop"},
)
FAULTS = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "TOO LATE"}
SECOND = 10**9
PATIENCE_S = 0.4


@dataclass(frozen=True)
class Row:
    """What the owner sends. `shows`: the answer holds MARK. `ends`: how it ends for everybody, if it never works."""

    request: Message
    shows: bool = False
    ends: str = "OK"


def archive() -> bytes:
    """A folder with nothing but a main.py."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("main.py")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"#"))
    return packed.getvalue()


RESOURCE = runtime.Resource(service={"name": "hidden", "source": "source://hidden:latest"})
RULE = auth.Rule(id="new", resource={"type": "*", "name": "*", "endpoint": "*"}, access=auth.GRANTED)
NODE = {"id": "new-1", "address": "127.0.0.1:4999"}
DEPLOYMENT = UUID(int=7)
ROUTE = router.Route(service="hidden", address="127.0.0.1:1")

# What reads before what writes, and what deletes last: as their owner sends them one after the other.
ROWS: dict[str, Row] = {
    "api.Api.AddToBlockList": Row(api.AddToBlockListRequest(id="hidden"), ends="UNIMPLEMENTED"),
    "api.Api.ReadBlockList": Row(api.ReadBlockListRequest(), ends="UNIMPLEMENTED"),
    "api.Api.RemoveFromBlockList": Row(api.RemoveFromBlockListRequest(id="hidden"), ends="UNIMPLEMENTED"),
    "auth.Accounts.List": Row(auth.ListAccountsRequest(), shows=True),
    "auth.Rules.List": Row(auth.ListRequest(), shows=True),
    "auth.Auth.Token": Row(auth.TokenRequest(id="hidden", secret="hidden-secret")),
    "auth.Auth.Inspect": Row(auth.InspectRequest(token="no token"), ends="INVALID_ARGUMENT"),
    "auth.Device.Start": Row(auth.DeviceStartRequest(program="hidden")),
    "auth.Device.Poll": Row(auth.DevicePollRequest(device_code="hidden"), ends="NOT_FOUND"),
    "auth.Platform.Read": Row(auth.ReadPlatformRequest()),
    "auth.Namespaces.List": Row(auth.ListNamespacesRequest()),
    "auth.Namespaces.Create": Row(auth.CreateNamespaceRequest(name="new"), ends="PERMISSION_DENIED"),
    "auth.ApiTokens.List": Row(auth.ListApiTokensRequest(), shows=True),
    "auth.ApiTokens.Create": Row(auth.CreateApiTokenRequest(name="new")),
    "auth.ApiTokens.Revoke": Row(auth.RevokeApiTokenRequest(id="hidden"), ends="NOT_FOUND"),
    "signup.Signup.SendVerificationEmail": Row(
        signup.SendVerificationEmailRequest(email="hidden"), ends="INVALID_ARGUMENT"
    ),
    "signup.Signup.Verify": Row(signup.VerifyRequest(email="hidden", token="hidden"), ends="INVALID_ARGUMENT"),
    "signup.Signup.CompleteSignup": Row(signup.CompleteSignupRequest(email="hidden"), ends="INVALID_ARGUMENT"),
    "signup.Signup.Recover": Row(signup.RecoverRequest(email="hidden"), ends="INVALID_ARGUMENT"),
    "signup.Signup.HasPaymentMethod": Row(signup.HasPaymentMethodRequest(), ends="UNIMPLEMENTED"),
    "signup.Signup.SetPaymentMethod": Row(signup.SetPaymentMethodRequest(), ends="UNIMPLEMENTED"),
    "config.Config.Get": Row(config.GetRequest(path="hidden"), shows=True),
    "config.Config.Read": Row(config.ReadRequest(path="hidden"), shows=True),
    "config.Revisions.List": Row(config.RevisionsRequest(path="hidden"), shows=True),
    "config.Revisions.Watch": Row(config.WatchRequest(path="hidden"), shows=True, ends=STILL_OPEN),
    "store.Store.Read": Row(store.ReadRequest(key="hidden", options={"table": "hidden"}), shows=True),
    "store.Store.List": Row(store.ListRequest(options={"table": "hidden", "prefix": ""}), shows=True),
    "store.Store.Tables": Row(store.TablesRequest(), shows=True),
    "store.Store.Databases": Row(store.DatabasesRequest(), ends="PERMISSION_DENIED"),
    "store.BlobStore.List": Row(store.BlobListRequest(), shows=True),
    "store.BlobStore.Read": Row(store.BlobReadRequest(key="hidden"), shows=True),
    "events.Store.Read": Row(events.ReadRequest(topic="hidden"), shows=True),
    "events.Store.Write": Row(events.WriteRequest(), ends="UNIMPLEMENTED"),
    "events.Groups.List": Row(events.ListGroupsRequest(topic="hidden"), shows=True),
    "events.DeadLetters.Read": Row(events.ReadDeadLettersRequest(topic="hidden"), shows=True),
    "registry.Registry.GetService": Row(registry.GetRequest(service="hidden"), shows=True),
    "registry.Registry.ListServices": Row(registry.ListRequest(), shows=True),
    "registry.Registry.Watch": Row(registry.WatchRequest(), shows=True, ends=STILL_OPEN),
    "network.Network.Routes": Row(network.RoutesRequest(query={"service": "hidden"}), shows=True),
    "network.Network.Services": Row(network.ServicesRequest(), shows=True),
    "network.Network.Nodes": Row(network.NodesRequest()),
    "network.Network.Graph": Row(network.GraphRequest()),
    "network.Network.Connect": Row(network.ConnectRequest(), ends="UNIMPLEMENTED"),
    "network.Network.Status": Row(network.StatusRequest(), ends="UNIMPLEMENTED"),
    "router.Router.Lookup": Row(router.LookupRequest(service="hidden"), shows=True),
    "router.Router.Watch": Row(router.WatchRequest(), ends="UNIMPLEMENTED"),
    "router.Table.Create": Row(ROUTE, ends="UNIMPLEMENTED"),
    "router.Table.Delete": Row(ROUTE, ends="UNIMPLEMENTED"),
    "router.Table.Read": Row(router.ReadRequest(service="hidden"), ends="UNIMPLEMENTED"),
    "router.Table.Update": Row(ROUTE, ends="UNIMPLEMENTED"),
    "debug.Debug.Health": Row(debug.HealthRequest()),
    "debug.Debug.Stats": Row(debug.StatsRequest()),
    "debug.Debug.Log": Row(debug.LogRequest(), ends="PERMISSION_DENIED"),
    "debug.Debug.Trace": Row(debug.TraceRequest(id="hidden"), ends="UNIMPLEMENTED"),
    "runtime.Runtime.Read": Row(runtime.ReadRequest(options={"service": "hidden"}), shows=True),
    "runtime.Runtime.Logs": Row(runtime.LogsRequest(service="hidden", stream=True), shows=True, ends=STILL_OPEN),
    "runtime.Deployments.List": Row(runtime.ListDeploymentsRequest(service="hidden"), shows=True),
    "runtime.Deployments.Read": Row(runtime.ReadDeploymentRequest(id=str(DEPLOYMENT)), shows=True),
    "runtime.Variables.List": Row(runtime.ListVariablesRequest(service="hidden"), shows=True),
    "runtime.Build.Read": Row(runtime.Service(name="hidden"), ends="UNIMPLEMENTED"),
    "broker.Broker.Subscribe": Row(broker.SubscribeRequest(topic="hidden"), shows=True, ends=STILL_OPEN),
    "events.Stream.Consume": Row(events.ConsumeRequest(topic="hidden", after=0, auto_ack=True), shows=True,
                                 ends=STILL_OPEN),
    "broker.Broker.Publish": Row(broker.PublishRequest(topic="hidden", message={"body": b"theirs"})),
    "events.Stream.Publish": Row(events.PublishRequest(topic="hidden", payload=b"theirs")),
    "config.Config.Set": Row(config.SetRequest(path="new", value={"data": '"theirs"'})),
    "store.Store.Write": Row(
        store.WriteRequest(record={"key": "hidden", "value": b"theirs"}, options={"table": "hidden"})
    ),
    "store.BlobStore.Write": Row(store.BlobWriteRequest(key="hidden", blob=b"theirs")),
    "auth.Auth.Generate": Row(auth.GenerateRequest(id="new", secret="theirs")),
    "auth.Accounts.ChangeSecret": Row(
        auth.ChangeSecretRequest(id="hidden", old_secret="hidden-secret", new_secret="theirs")
    ),
    "auth.Rules.Create": Row(auth.CreateRequest(rule=RULE)),
    "registry.Registry.Register": Row(registry.Service(name="new", nodes=[NODE])),
    "runtime.Source.Upload": Row(runtime.UploadRequest(service={"name": "hidden"}, data=archive())),
    "runtime.Runtime.Create": Row(runtime.CreateRequest(resource=RESOURCE)),
    "runtime.Runtime.Update": Row(runtime.UpdateRequest(resource=RESOURCE)),
    "runtime.Deployments.Redeploy": Row(runtime.RedeployRequest(service="hidden")),
    "runtime.Variables.Set": Row(runtime.SetVariablesRequest(service="hidden", removed=["HIDDEN"])),
    "events.DeadLetters.Redrive": Row(events.ChangeDeadLettersRequest(topic="hidden", group="hidden")),
    "events.DeadLetters.Delete": Row(events.ChangeDeadLettersRequest(topic="hidden")),
    "events.Groups.Delete": Row(events.DeleteGroupRequest(topic="hidden", name="hidden")),
    "config.Config.Delete": Row(config.DeleteRequest(path="hidden")),
    "store.Store.Delete": Row(store.DeleteRequest(key="hidden", options={"table": "hidden"})),
    "store.BlobStore.Delete": Row(store.BlobDeleteRequest(key="hidden")),
    "registry.Registry.Deregister": Row(registry.Service(name="hidden", nodes=[{"id": "hidden-1"}])),
    "auth.Rules.Delete": Row(auth.DeleteRequest(id="hidden")),
    "auth.Accounts.Delete": Row(auth.DeleteAccountRequest(id="hidden")),
    "runtime.Runtime.Cancel": Row(runtime.CancelRequest(resource=RESOURCE)),
    "runtime.Runtime.Delete": Row(runtime.DeleteRequest(resource=RESOURCE)),
}  # fmt: skip
# Logging in happens in the namespace that is named, and whoever holds a secret or a token is the account.
BY_SECRET = {
    *("auth.Auth.Token", "auth.Auth.Inspect", "auth.Device.Start", "auth.Device.Poll", "auth.Platform.Read"),
    *("signup.Signup.SendVerificationEmail", "signup.Signup.Verify", "signup.Signup.CompleteSignup"),
    *("signup.Signup.Recover", "signup.Signup.HasPaymentMethod", "signup.Signup.SetPaymentMethod"),
}


def fields(message: Message, *, tenant: bool) -> Iterator[tuple[Message, str]]:
    """Every (message, field) within that holds a text, and names a tenant or does not."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            is_list = field.message_type is not None and not field.message_type.GetOptions().map_entry
            for item in getattr(message, field.name) if is_list else ():
                yield from fields(item, tenant=tenant)
        elif field.message_type is not None:
            if tenant or message.HasField(field.name):  # names of tenants are also set where nothing was said
                yield from fields(getattr(message, field.name), tenant=tenant)
        elif field.type == field.TYPE_STRING and (field.name in TENANT_FIELDS) is tenant:
            yield message, field.name


def aimed(request: Message, target: str) -> Message:
    """The request with `target` in each field that names a tenant."""
    made = copy.deepcopy(request)
    for holder, name in fields(made, tenant=True):
        setattr(holder, name, target)
    return made


def names_a_tenant(request: Message) -> bool:
    return any(True for _ in fields(copy.deepcopy(request), tenant=True))


def replaced(request: Message, old: str, new: str) -> Message:
    """The request with another text wherever it says `old`."""
    made = copy.deepcopy(request)
    for holder, name in fields(made, tenant=False):
        setattr(holder, name, getattr(holder, name).replace(old, new))
    return made


def called(request: Message, thing: str) -> Message:
    """The request about a thing of that name, whether it would use one or make one."""
    return replaced(replaced(request, "new", thing), "hidden", thing)


def wild(request: Message) -> Iterator[Message]:
    """The request with each of its texts, one at a time, made a pattern or a path."""
    for at, text in product(range(sum(1 for _ in fields(request, tenant=False))), WILD):
        made = copy.deepcopy(request)
        holder, name = list(fields(made, tenant=False))[at]
        setattr(holder, name, text)
        yield made


class Tenant:
    """An account's calls."""

    def __init__(self, whole: Whole, channel: Any, token: str) -> None:
        self._whole, self._channel, self._token = whole, channel, token

    async def send(self, name: str, request: Message, *, patience_s: float | None = None, **rest: Any) -> Answer:
        patience_s = patience_s or (PATIENCE_S if self._whole.is_live(name) else 60.0)
        return await self._whole.send(self._channel, name, [request], token=self._token, patience_s=patience_s, **rest)

    async def all(
        self, attempts: list[tuple[str, Message, dict[str, str]]], *, patience_s: float | None = None
    ) -> list[Answer]:
        """The answers to many calls, few at a time: the machine is slow, and streams wait."""
        gate = asyncio.Semaphore(16)

        async def one(name: str, request: Message, headers: dict[str, str]) -> Answer:
            async with gate:
                return await self.send(name, request, headers=headers, patience_s=patience_s)

        return await asyncio.gather(*(one(*attempt) for attempt in attempts))

    async def must(self, name: str, request: Message) -> None:
        answer = await self.send(name, request)
        assert answer.code in ("OK", STILL_OPEN), (name, answer)


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    """Deployments wait in their rows."""
    monkeypatch.setattr("runtime.tasks.send", lambda **_ids: None)


@pytest.fixture
async def tenants(whole) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """joe of shop, who has something everywhere, and eve of rival."""
    from tenants.models import Attempts

    await in_public(lambda: Attempts.objects.all().delete())
    async with whole.channel() as channel:
        joe = Tenant(whole, channel, await whole.token(channel, "shop", "joe", "joe-secret"))
        eve = Tenant(whole, channel, await whole.token(channel, "rival", "eve", "eve-secret"))
        if not await in_public(_is_filled):
            await fill(joe)
        yield joe, eve


def _is_filled() -> bool:
    from runtime.models import Service

    return bool(Service.objects.in_namespace("shop").exists())


async def fill(joe: Tenant) -> None:
    """Give shop a thing called hidden everywhere, with MARK in it or beside it."""
    marked = MARK.encode()
    for key, table in product(("hidden", MARK), repeat=2):
        record = {"key": key, "value": marked}
        await joe.must("store.Store.Write", store.WriteRequest(record=record, options={"table": table}))
    for key in ("hidden", MARK):
        await joe.must("store.BlobStore.Write", store.BlobWriteRequest(key=key, blob=marked))
        await joe.must("config.Config.Set", config.SetRequest(path=key, value={"data": f'"{MARK}"'}))
        await joe.must("auth.Auth.Generate", auth.GenerateRequest(id=key, secret="hidden-secret"))
        resource = {"type": "service", "name": key, "endpoint": "*"}
        await joe.must("auth.Rules.Create", auth.CreateRequest(rule={"id": key, "resource": resource, "access": 1}))
        node = {"id": f"{key}-1", "address": "127.0.0.1:4000", "metadata": {"of": MARK}}
        await joe.must("registry.Registry.Register", registry.Service(name=key, nodes=[node], options={"ttl": 3600}))
        consumer = events.ConsumeRequest(topic="hidden", group=key, ack_wait=30 * SECOND)
        await joe.must("events.Stream.Consume", consumer)
        await joe.must("events.Stream.Publish", events.PublishRequest(topic=key, payload=marked))
        upload = runtime.UploadRequest(service={"name": key}, data=archive())
        await joe.must("runtime.Source.Upload", upload)
    await joe.must("auth.ApiTokens.Create", auth.CreateApiTokenRequest(name=MARK))
    await in_tenant("shop", _bury)
    await in_public(_deploy)
    await write_log()


def _bury() -> None:
    from primitives.events.models import DeadLetter

    event = events.Event(id="1", topic="hidden", payload=MARK.encode()).SerializeToString()
    DeadLetter.objects.create(
        topic="hidden", group="hidden", sequence=1, event=event, attempts=1, reason=MARK, died_at=now()
    )


def _deploy() -> None:
    from runtime.models import Deployment, Service
    from tenants.models import Namespace

    shop = Namespace.objects.get(slug="shop")
    for name in ("hidden", MARK):
        Service.objects.in_namespace(shop).create(namespace=shop, name=name, source=MARK, owner="joe")
    Deployment.objects.in_namespace(shop).create(
        id=DEPLOYMENT,
        namespace=shop,
        service=Service.objects.in_namespace(shop).get(name="hidden"),
        source="github.com/a/b",
        state="failed",
        reason=MARK,
        env={"HIDDEN": MARK},
        lease_until=now(),
        finished_at=now(),
    )


def _hidden_service() -> Any:
    from runtime.models import Service

    return Service.objects.in_namespace("shop").get(name="hidden", deleted_at=None).pk


async def write_log() -> None:
    """A line of the service's, as the runner publishes it."""
    from runtime import logs, logstreams

    connection = await logstreams.connect()
    await logstreams.Streams(connection.jetstream()).require("shop")
    for kind in logs.KINDS:
        subject = logstreams.subject("shop", await in_public(_hidden_service), kind)
        await connection.jetstream().publish(subject, f"{MARK}\n".encode())
    await connection.close()


async def everything(joe: Tenant) -> dict[str, bytes]:
    """All that its owner can see of shop."""
    shown = [name for name, row in ROWS.items() if row.shows and row.ends == "OK"]
    answers = await joe.all([(name, ROWS[name].request, {}) for name in shown], patience_s=60)  # all of them end
    assert {answer.code for answer in answers} == {"OK"}
    return {name: answer.frames for name, answer in zip(shown, answers, strict=True)}


@pytest.fixture
async def eve(tenants) -> AsyncIterator[Tenant]:
    """A second tenant, after whom nothing of the first's may be another."""
    joe, eve = tenants
    before = await everything(joe)
    yield eve
    assert await everything(joe) == before


def test_every_method_has_its_row(whole):
    assert set(ROWS) == set(whole.methods)
    assert all(isinstance(row.request, whole.methods[name].request) for name, row in ROWS.items())


@pytest.mark.parametrize("codec", [{}, JSON], ids=["protobuf", "json"])
async def test_naming_another_tenant_is_refused_the_same_whether_it_or_the_thing_exists(eve, codec):
    for name, row in ROWS.items():
        if name in BY_SECRET or not names_a_tenant(row.request):
            continue
        requests = [called(row.request, thing) for thing in ("hidden", "absent")]
        if name == "runtime.Runtime.Create":  # an upload of one's own, too, is not looked for over there
            requests.append(replaced(row.request, "source://hidden:latest", "github.com/a/b"))
        attempts = [(name, aimed(request, target), codec) for request, target in product(requests, TARGETS)]
        outcomes = {answer.outcome for answer in await eve.all(attempts)}
        if row.ends == "UNIMPLEMENTED":
            assert {code for code, _ in outcomes} == {"UNIMPLEMENTED"}, name
            assert len(outcomes) == 1
        else:
            assert outcomes == {DENIED}, name


@pytest.mark.parametrize("headers", [{}, *HEADERS], ids=lambda headers: "-".join(headers.values()) or "none")
async def test_without_naming_a_tenant_what_is_anothers_is_as_what_is_nobodys(eve, headers):
    for name, row in ROWS.items():
        attempts = [(name, called(row.request, thing), headers) for thing in ("hidden", "absent")]
        hidden, absent = await eve.all(attempts)
        assert hidden.code not in FAULTS, (name, hidden)
        assert hidden.code == absent.code, name
        assert hidden.detail.replace("hidden", "absent") == absent.detail, name
        assert MARK.encode() not in hidden.frames + absent.frames, name
        assert MARK not in hidden.detail, name


async def test_no_pattern_and_no_path_in_any_text_reaches_across(eve):
    attempts = [
        (name, request, {"micro-namespace": "shop"}) for name, row in ROWS.items() for request in wild(row.request)
    ]
    answers = await eve.all(attempts)
    for (name, request, _), answer in zip(attempts, answers, strict=True):
        assert answer.code not in FAULTS, (name, request, answer)
        assert MARK.encode() not in answer.frames, (name, request)
        assert MARK not in answer.detail, (name, request)
    assert len(attempts) > 500


async def test_who_watches_hears_nothing_of_anothers(tenants, whole):
    joe, eve = tenants
    live = [name for name, row in ROWS.items() if row.ends == STILL_OPEN]
    attempts = [
        (name, request, headers)
        for name in live
        for request in (ROWS[name].request, type(ROWS[name].request)(), *wild(ROWS[name].request))
        for headers in ({}, {"micro-namespace": "shop"})
    ]

    async def watch(tenant: Tenant, name: str, request: Message, headers: dict[str, str]) -> Answer:
        return await tenant.send(name, request, headers=headers, patience_s=6)

    watching = [asyncio.create_task(watch(eve, *attempt)) for attempt in attempts]
    own = [asyncio.create_task(watch(joe, name, ROWS[name].request, {})) for name in live]
    await asyncio.sleep(2.5)
    marked = MARK.encode()
    await joe.must("broker.Broker.Publish", broker.PublishRequest(topic="hidden", message={"body": marked}))
    await joe.must("events.Stream.Publish", events.PublishRequest(topic="hidden", payload=marked))
    await joe.must("config.Config.Set", config.SetRequest(path="hidden.more", value={"data": f'"{MARK}"'}))
    node = {"id": "noise-1", "address": "127.0.0.1:4001", "metadata": {"of": MARK}}
    await joe.must("registry.Registry.Register", registry.Service(name="noise", nodes=[node]))
    await write_log()
    for (name, request, _), answer in zip(attempts, await asyncio.gather(*watching), strict=True):
        assert answer.code not in FAULTS, (name, answer)
        assert marked not in answer.frames, (name, request)
        assert MARK not in answer.detail
    for name, answer in zip(live, await asyncio.gather(*own), strict=True):
        assert marked in answer.frames, name  # there was something to hear


async def test_a_private_blob_is_refused_to_nobody_and_a_public_one_is_not(tenants, whole):
    joe, eve = tenants
    public = store.BlobWriteRequest(key="open", blob=b"for all", options={"public": True})
    await joe.must("store.BlobStore.Write", public)
    async with whole.channel() as channel:
        nobody = Tenant(whole, channel, "")
        for tenant, refusal in ((nobody, "UNAUTHENTICATED"), (eve, "PERMISSION_DENIED")):
            answers = [
                await tenant.send("store.BlobStore.Read", store.BlobReadRequest(key=key, options={"namespace": slug}))
                for key, slug in (("hidden", "shop"), ("absent", "shop"), ("hidden", "nowhere"), ("open", "nowhere"))
            ]
            assert {answer.code for answer in answers} == {refusal}
            assert len({answer.detail for answer in answers}) == 1
            seen = await tenant.send("store.BlobStore.Read", aimed(store.BlobReadRequest(key="open"), "shop"))
            assert b"for all" in seen.frames


async def test_whoever_has_no_account_reaches_nothing(tenants, whole):
    public = BY_SECRET | {"debug.Debug.Health", "debug.Debug.Stats", "debug.Debug.Trace"}
    async with whole.channel() as channel:
        nobody = Tenant(whole, channel, "")
        attempts = [(name, aimed(row.request, "shop"), {}) for name, row in ROWS.items() if name not in public]
        for (name, *_), answer in zip(attempts, await nobody.all(attempts), strict=True):
            assert answer.outcome == ("UNAUTHENTICATED", "an account is required"), name


async def test_a_token_of_one_namespace_is_none_of_anothers(tenants, whole):
    _, eve = tenants
    for id, secret in (("eve", "eve-secret"), ("joe", "eve-secret"), ("hidden", "wrong")):
        request = auth.TokenRequest(id=id, secret=secret, options={"namespace": "shop"})
        answer = await eve.send("auth.Auth.Token", request)
        assert answer.code in ("INVALID_ARGUMENT", "UNAUTHENTICATED")
        assert MARK.encode() not in answer.frames


async def test_every_row_is_what_its_owner_can_do(tenants):
    """Last, for it deletes what the others need: rows that do not work for anybody would prove nothing."""
    joe, _ = tenants
    watching = {
        name: asyncio.create_task(joe.send(name, row.request, patience_s=4))
        for name, row in ROWS.items()
        if row.ends == STILL_OPEN
    }
    await asyncio.sleep(1)
    marked = broker.PublishRequest(topic="hidden", message={"body": MARK.encode()})
    await joe.must("broker.Broker.Publish", marked)
    node = {"id": "noise-2", "address": "127.0.0.1:4002", "metadata": {"of": MARK}}
    await joe.must("registry.Registry.Register", registry.Service(name="noise", nodes=[node]))
    for name, task in watching.items():
        answer = await task
        assert (name, answer.code, MARK.encode() in answer.frames) == (name, STILL_OPEN, True)
    for name, row in ROWS.items():
        if name not in watching:
            request = aimed(row.request, "shop") if name == "auth.Auth.Token" else row.request
            answer = await joe.send(name, request)
            assert (name, answer.code) == (name, row.ends), answer.detail
            assert (MARK.encode() in answer.frames) or not row.shows, name
