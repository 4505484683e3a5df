from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from django.core.management import call_command
from django.db import connections
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from micro.proto import auth_pb2, debug_pb2, registry_pb2
from primitives.auth import operations as accounts
from primitives.auth import tokens
from primitives.registry import models, operations, records
from project.sidecar import Sidecar
from tenants.models import Namespace, User
from tenants.operations import bootstrap, create_namespace
from transport.database import dsn
from transport.methods import MethodWithoutScope

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed by `populated`

ROOT = Path(__file__).parents[2]
DESCRIPTORS = FileDescriptorSet()
registry_pb2.DESCRIPTOR.CopyToProto(DESCRIPTORS.file.add())


async def in_thread(function, *args, **kwargs):
    """Call it where the ORM may be used, and leave no connection behind."""

    def call():
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


def populate() -> None:
    """Namespace micro with admin/micro, namespaces shop of joe and rival of eve."""
    bootstrap(admin_password="micro")
    for slug, owner in (("shop", "joe"), ("rival", "eve")):
        create_namespace(slug=slug, owner=User.objects.create_user(owner, password=f"{owner}-secret"))


@pytest.fixture(scope="module")
def populated(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Committed once for all tests here, because making namespaces takes a while."""
    with django_db_blocker.unblock():
        populate()
        yield
        call_command("flush", interactive=False, verbosity=0, reset_sequences=False)  # schemas keep their numbers
        gc.collect()  # connections of worker threads that have ended


@pytest.fixture
async def channel(populated, tmp_path_factory) -> AsyncIterator[grpc.aio.Channel]:
    """A stock grpcio channel to a running sidecar with an empty registry."""
    await in_thread(lambda: models.Node.objects.across_namespaces().delete())
    socket = tmp_path_factory.mktemp("s") / "s.sock"
    stop = asyncio.Event()
    serving = asyncio.create_task(Sidecar(index=0, database=dsn()).serve(socket, stop=stop))
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        await asyncio.wait_for(channel.channel_ready(), 10)
        yield channel
    stop.set()
    await asyncio.wait_for(serving, 5)


async def call(channel, path, request, response, token="", **metadata):
    stub = channel.unary_unary(
        path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
    )
    pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    return await stub(request, metadata=[*pairs, ("authorization", f"Bearer {token}")] if token else pairs)


async def refusal(awaitable) -> tuple[int, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    document = json.loads(caught.value.details())
    return document["code"], document["detail"]


async def get_token(channel, **request):
    return (await call(channel, "/auth.Auth/Token", auth_pb2.TokenRequest(**request), auth_pb2.TokenResponse)).token


async def log_in(channel, id="admin", secret="micro", namespace="") -> str:  # noqa: S107
    return (await get_token(channel, id=id, secret=secret, options={"namespace": namespace})).access_token


def get(channel, service, token="", **options):
    request = registry_pb2.GetRequest(service=service, options=options)
    return call(channel, "/registry.Registry/GetService", request, registry_pb2.GetResponse, token)


def listing(channel, token="", domain=""):
    request = registry_pb2.ListRequest(options={"domain": domain})
    return call(channel, "/registry.Registry/ListServices", request, registry_pb2.ListResponse, token)


def announce(channel, token, name="hello", address="127.0.0.1:4000", id="hello-1", domain="", **facts):
    request = registry_pb2.Service(
        name=name, nodes=[{"id": id, "address": address}], options={"domain": domain, "ttl": 60}, **facts
    )
    return call(channel, "/registry.Registry/Register", request, registry_pb2.EmptyResponse, token)


async def test_the_admin_of_a_new_server_logs_in_and_gets_a_token_that_the_sidecar_knows(channel):
    token = await get_token(channel, id="admin", secret="micro", token_expiry=60)
    assert token.expiry - token.created == 60
    request = auth_pb2.InspectRequest(token=token.access_token)
    account = (await call(channel, "/auth.Auth/Inspect", request, auth_pb2.InspectResponse)).account
    assert (account.id, account.issuer, account.type, list(account.scopes)) == ("admin", "micro", "user", ["admin"])
    renewed = await get_token(channel, refresh_token=token.refresh_token)
    assert renewed.expiry - renewed.created == 15 * 60
    assert renewed.refresh_token != token.refresh_token


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({}, 400, "Credentials or a refresh token required"),
        ({"id": "admin"}, 400, "Credentials or a refresh token required"),
        ({"id": "admin", "secret": "wrong"}, 401, "Secret not correct"),
        ({"id": "nobody", "secret": "x"}, 400, "Account not found with this ID"),
        ({"id": "joe", "secret": "joe-secret"}, 400, "Account not found with this ID"),
        ({"refresh_token": "nonsense"}, 400, "invalid token provided"),
        ({"id": "admin", "secret": "micro", "token_expiry": -1}, 400, "token_expiry must not be negative"),
        ({"id": "admin", "secret": "micro", "options": {"namespace": "no"}}, 404, "Namespace 'no' does not exist."),
        ({"id": "a\0", "secret": "micro"}, 400, "The field id of auth.TokenRequest holds a NUL character."),
    ],
)  # fmt: skip
async def test_credentials_that_are_not_good_are_answered_as_micro_did(channel, request_, code, text):
    assert await refusal(get_token(channel, **request_)) == (code, text)


async def test_json_frames_reach_every_method(channel):
    stub = channel.unary_unary("/auth.Auth/Token")
    json_frames = [("x-content-type", "application/json")]
    answer = json.loads(await stub(b'{"id": "admin", "secret": "micro", "token_expiry": "60"}', metadata=json_frames))
    assert isinstance(answer["token"]["expiry"], str)
    assert answer["token"]["access_token"].count(".") == 2


async def test_an_account_made_over_the_wire_works_and_is_made_once(channel):
    token = await log_in(channel, "joe", "joe-secret", "shop")
    request = auth_pb2.GenerateRequest(id="bot", scopes=["basic"], metadata={"team": "a"})

    def generate():
        return call(channel, "/auth.Auth/Generate", request, auth_pb2.GenerateResponse, token)

    account = (await generate()).account
    assert (account.issuer, account.type, account.name, account.metadata["team"]) == ("shop", "account", "bot", "a")
    assert await log_in(channel, "bot", account.secret, "shop")
    assert await refusal(generate()) == (409, "Account with this ID already exists")


async def test_nobody_gives_a_scope_that_is_not_theirs(channel):
    admin = await log_in(channel, "joe", "joe-secret", "shop")

    def generate(token, **request):
        return call(
            channel, "/auth.Auth/Generate", auth_pb2.GenerateRequest(**request), auth_pb2.GenerateResponse, token
        )

    bot = (await generate(admin, id="helper", scopes=["basic", "accounts.write"])).account
    token = await log_in(channel, "helper", bot.secret, "shop")
    await generate(token, id="lesser", scopes=["basic"])
    for scope in ("admin", "service", "other", "runtime.deploy"):
        assert (await refusal(generate(token, id="x", scopes=[scope])))[0] == 403
    assert await refusal(generate("", id="x")) == (401, "an account is required")


async def test_the_admin_of_the_platform_makes_a_namespace_by_making_an_account_in_it(channel):
    request = auth_pb2.GenerateRequest(id="first", options={"namespace": "brand-new"})

    def generate(token):
        return call(channel, "/auth.Auth/Generate", request, auth_pb2.GenerateResponse, token)

    tenant = await log_in(channel, "joe", "joe-secret", "shop")
    assert await refusal(generate(tenant)) == (403, "access denied to namespace")
    account = (await generate(await log_in(channel))).account
    assert account.issuer == "brand-new"
    assert await log_in(channel, "first", account.secret, "brand-new")


async def test_a_tenant_reaches_nothing_of_another(channel):
    joe, eve = await log_in(channel, "joe", "joe-secret", "shop"), await log_in(channel, "eve", "eve-secret", "rival")
    await announce(channel, joe)
    assert [s.name for s in (await listing(channel, joe)).services] == ["hello"]
    denied = (403, "access denied to namespace")
    assert await refusal(get(channel, "hello", eve)) == (404, "service not found")
    assert await refusal(get(channel, "hello", eve, domain="shop")) == denied
    assert await refusal(listing(channel, eve, domain="shop")) == denied
    assert await refusal(listing(channel, eve, domain="*")) == denied
    assert await refusal(announce(channel, eve, domain="shop")) == denied
    assert await refusal(announce(channel, eve, domain="micro")) == denied
    taken = registry_pb2.Service(name="hello", nodes=[{"id": "hello-1"}])
    await call(channel, "/registry.Registry/Deregister", taken, registry_pb2.EmptyResponse, eve)
    taken.options.domain = "shop"
    assert (
        await refusal(call(channel, "/registry.Registry/Deregister", taken, registry_pb2.EmptyResponse, eve)) == denied
    )
    assert await refusal(get_token(channel, id="joe", secret="joe-secret", options={"namespace": "rival"})) == (
        400, "Account not found with this ID",
    )  # fmt: skip
    spoofed = call(
        channel, "/registry.Registry/GetService", registry_pb2.GetRequest(service="hello"), registry_pb2.GetResponse,
        eve, micro_namespace="shop",
    )  # fmt: skip
    assert await refusal(spoofed) == (404, "service not found")
    assert (await get(channel, "hello", joe)).services[0].nodes[0].address == "127.0.0.1:4000"
    assert (await get(channel, "hello", await log_in(channel), domain="shop")).services[0].name == "hello"


async def test_without_an_account_only_the_platforms_namespace_is_seen(channel):
    names = [service.name for service in (await listing(channel)).services]
    assert {"auth", "registry", "debug"} <= set(names)
    assert await refusal(listing(channel, domain="shop")) == (401, "an account is required")
    assert await refusal(get(channel, "hello", domain="shop")) == (401, "an account is required")
    assert await refusal(announce(channel, "")) == (401, "an account is required")


async def test_the_platforms_own_services_describe_themselves(channel):
    (service,) = (await get(channel, "auth", descriptors=True)).services
    endpoints = {endpoint.name: endpoint for endpoint in service.endpoints}
    services = auth_pb2.DESCRIPTOR.services_by_name.values()
    assert list(endpoints) == sorted(
        f"{service.name}.{method.name}" for service in services for method in service.methods
    )
    fields = {value.name: value for value in endpoints["Auth.Token"].request.values}
    assert (fields["id"].type, fields["token_expiry"].type) == ("string", "int64")
    assert [value.name for value in fields["options"].values] == ["namespace"]
    assert FileDescriptorSet.FromString(service.descriptors).file[0].package == "auth"
    assert (await get(channel, "auth")).services[0].descriptors == b""


async def test_a_replica_of_the_runner_is_shown_with_endpoints_from_its_descriptors(channel):
    await in_thread(
        operations.register,
        namespace="shop", service="hello", version="latest", protocol="grpc",
        node=records.Node("hello-r1", "127.0.0.1", 4000, {"release": "1"}), descriptors=DESCRIPTORS.SerializeToString(),
    )  # fmt: skip
    token = await log_in(channel, "joe", "joe-secret", "shop")
    (service,) = (await get(channel, "hello", token, descriptors=True)).services
    endpoints = {endpoint.name: endpoint for endpoint in service.endpoints}
    assert endpoints["Registry.Watch"].metadata["stream"] == "true"
    tree = {value.name: value.type for value in endpoints["Registry.Register"].request.values}
    assert tree["nodes"] == "[]Node"
    assert tree["metadata"] == "map[string]string"
    assert tree["descriptors"] == "[]uint8"
    assert (service.protocol, service.metadata["domain"]) == ("grpc", "shop")
    assert service.nodes[0].metadata["release"] == "1"
    assert FileDescriptorSet.FromString(service.descriptors) == DESCRIPTORS


async def test_what_a_service_says_of_its_endpoints_is_shown_as_it_said_it(channel):
    token = await log_in(channel, "joe", "joe-secret", "shop")
    endpoint = registry_pb2.Endpoint(name="Hello.Call", metadata={"stream": "true"}, request={"name": "Request"})
    await announce(channel, token, version="v2", endpoints=[endpoint], metadata={"owner": "joe"}, protocol="http")
    (service,) = (await get(channel, "hello", token)).services
    assert list(service.endpoints) == [endpoint]
    assert (service.version, service.protocol, service.metadata["owner"]) == ("v2", "http", "joe")


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"address": "10.0.0.1:4000"}, 403),
        ({"address": "169.254.169.254:80"}, 403),
        ({"address": "example.com:80"}, 403),
        ({"address": "[::1%lo]:80"}, 403),
        ({"address": "[::ffff:10.0.0.1]:80"}, 403),
        ({"address": "127.0.0.1"}, 400),
        ({"version": "x" * 201}, 400),
        ({"version": "a b"}, 400),
        ({"address": "127.0.0.1:0"}, 400),
        ({"address": "127.0.0.1:99999"}, 400),
        ({"address": "127.0.0.1:http"}, 400),
        ({"id": ""}, 400),
        ({"name": "auth"}, 403),
        ({"name": ""}, 400),
        ({"name": "a/b"}, 400),
        ({"name": "grpc.health.v1"}, 400),
        ({"protocol": "mucp"}, 400),
        ({"descriptors": b"\xff"}, 400),
    ],
)
async def test_what_may_not_be_announced_is_refused(channel, facts, code):
    token = await log_in(channel, "joe", "joe-secret", "shop")
    assert (await refusal(announce(channel, token, **facts)))[0] == code
    assert list((await listing(channel, token)).services) == []


async def test_outside_the_local_profile_a_service_names_only_addresses_of_its_own_replicas(channel, settings):
    settings.MICRO_PROFILE = "platform"
    token = await log_in(channel, "joe", "joe-secret", "shop")
    assert (await refusal(announce(channel, token, address="10.0.0.1:4000")))[0] == 403
    await in_thread(
        operations.register,
        namespace="shop", service="hello", version="latest", protocol="grpc",
        node=records.Node("hello-r1", "10.0.0.1", 4000, {}),
    )  # fmt: skip
    await announce(channel, token, address="10.0.0.1:4000")
    assert [node.id for node in (await get(channel, "hello", token)).services[0].nodes] == ["hello-r1"]
    await announce(channel, token, address="10.0.0.1:4001")
    assert (await refusal(announce(channel, token, name="other", address="10.0.0.1:4001", id="x")))[0] == 403
    assert (await refusal(announce(channel, token, address="10.0.0.1:4002", id="hello-r1")))[0] == 403


async def test_the_platforms_replica_cannot_be_taken_back_by_a_tenant(channel):
    token = await log_in(channel, "joe", "joe-secret", "shop")
    await in_thread(
        operations.register,
        namespace="shop", service="hello", version="latest", protocol="grpc",
        node=records.Node("hello-r1", "127.0.0.1", 4000, {}),
    )  # fmt: skip
    request = registry_pb2.Service(name="hello", nodes=[{"id": "hello-r1"}])
    await call(channel, "/registry.Registry/Deregister", request, registry_pb2.EmptyResponse, token)
    assert len((await get(channel, "hello", token)).services) == 1


async def test_a_watch_tells_what_changes_in_its_namespace_and_nothing_else(channel):
    joe, eve = await log_in(channel, "joe", "joe-secret", "shop"), await log_in(channel, "eve", "eve-secret", "rival")
    await announce(channel, joe, name="before", id="b")
    stream = channel.stream_stream(
        "/registry.Registry/Watch",
        request_serializer=registry_pb2.WatchRequest.SerializeToString,
        response_deserializer=registry_pb2.Result.FromString,
    )(metadata=[("authorization", f"Bearer {joe}")])
    await stream.write(registry_pb2.WatchRequest())
    await asyncio.sleep(0.3)
    await announce(channel, eve, name="secret", id="s", address="127.0.0.1:4003")
    await announce(channel, joe)
    await announce(channel, joe, id="hello-2", address="127.0.0.1:4002")
    await asyncio.sleep(0.3)
    gone = registry_pb2.Service(name="hello", nodes=[{"id": "hello-1"}, {"id": "hello-2"}])
    await call(channel, "/registry.Registry/Deregister", gone, registry_pb2.EmptyResponse, joe)
    seen = []
    while not seen or seen[-1][0] != "delete":
        result = await asyncio.wait_for(stream.read(), 5)
        seen.append((result.action, result.service.name))
    assert seen[0] == ("create", "hello")
    assert set(seen) <= {("create", "hello"), ("update", "hello"), ("delete", "hello")}
    stream.cancel()


async def test_a_lapsed_node_is_not_shown(channel):
    token = await log_in(channel, "joe", "joe-secret", "shop")
    await in_thread(
        operations.register,
        namespace="shop", service="hello", version="latest", protocol="grpc", ttl=timedelta(milliseconds=200),
        node=records.Node("hello-1", "127.0.0.1", 4000, {}),
    )  # fmt: skip
    assert len((await listing(channel, token)).services) == 1
    await asyncio.sleep(0.3)
    assert len((await listing(channel, token)).services) == 0


@pytest.mark.parametrize("token", ["", "x.y.z", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."])
async def test_a_token_that_is_not_good_is_refused_even_where_none_is_needed(channel, token):
    stub = channel.unary_unary("/registry.Registry/ListServices")
    assert await refusal(stub(b"", metadata=[("authorization", f"Bearer {token}")])) == (401, "invalid token provided")


async def test_the_token_of_a_deleted_release_cannot_be_renewed(channel):
    shop = await in_thread(Namespace.objects.get, slug="shop")
    await in_thread(
        accounts.create_service_account, namespace=shop, id="hello-latest-1", secret="s" * 43, service="hello"
    )
    options = {"namespace": "shop"}
    token = await get_token(channel, id="hello-latest-1", secret="s" * 43, options=options, token_expiry=600)
    assert (await in_thread(tokens.verify, token.access_token)).account.scopes == ("service", "service:hello")
    await listing(channel, token.access_token)
    await in_thread(accounts.delete_account, namespace=shop, id="hello-latest-1")
    again = get_token(channel, refresh_token=token.refresh_token, options=options)
    assert await refusal(again) == (400, "invalid token provided")


async def test_health_debug_and_reflection_answer(channel):
    health = await call(
        channel, "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
    )
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert (
        await call(channel, "/auth.Debug/Health", debug_pb2.HealthRequest(), debug_pb2.HealthResponse)
    ).status == "ok"
    for version in ("v1", "v1alpha"):
        (answer,) = await reflect(channel, "", {"list_services": "*"}, version=version, micro_namespace="micro")
        names = {service.name for service in answer.list_services_response.service}
        assert {"auth.Auth", "registry.Registry", "debug.Debug", "grpc.health.v1.Health"} <= names


async def reflect(
    channel, token, *questions, version="v1", **metadata
) -> list[reflection_pb2.ServerReflectionResponse]:
    """The answers of gRPC reflection without a service in front."""
    stream = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    pairs += [("authorization", f"Bearer {token}")] if token else []
    requests = [reflection_pb2.ServerReflectionRequest(**question) for question in questions]
    return [answer async for answer in stream(iter(requests), metadata=pairs)]


def offer(package: str) -> bytes:
    """A service Greeter in a package, in two files."""
    files = FileDescriptorSet()
    messages = files.file.add(name="messages.proto", package=package, syntax="proto3")
    messages.message_type.add(name="Request").field.add(name="name", number=1, type=9, label=1)
    service = files.file.add(name="greeter.proto", package=package, syntax="proto3", dependency=["messages.proto"])
    greet = service.service.add(name="Greeter").method.add(name="Greet")
    greet.input_type = greet.output_type = f".{package}.Request"
    return files.SerializeToString()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_without_a_service_is_of_what_the_callers_namespace_offers(channel, version):
    joe, eve = await log_in(channel, "joe", "joe-secret", "shop"), await log_in(channel, "eve", "eve-secret", "rival")
    unlinkable = FileDescriptorSet(file=FileDescriptorSet.FromString(offer("shop.v2")).file[1:]).SerializeToString()
    await announce(channel, joe, descriptors=offer("shop.v1"))
    await announce(channel, joe, name="broken", id="broken-1", address="127.0.0.1:4003", descriptors=unlinkable)
    await announce(channel, eve, descriptors=offer("rival.v1"), id="e1", address="127.0.0.1:4004")
    questions = [
        {"list_services": ""},
        {"file_containing_symbol": "shop.v1.Greeter.Greet"},
        {"file_by_filename": "messages.proto"},
        {"file_containing_symbol": "rival.v1.Greeter"},
        {"all_extension_numbers_of_type": "shop.v1.Request"},
        {"file_containing_extension": {"containing_type": "shop.v1.Request", "extension_number": 1}},
    ]
    names, symbol, file, foreign, numbers, extension = await reflect(
        channel, joe, *questions, version=version, micro_namespace="shop"
    )
    found = {service.name for service in names.list_services_response.service}
    assert {"shop.v1.Greeter", "auth.Auth"} <= found
    assert "rival.v1.Greeter" not in found
    files = [FileDescriptorProto.FromString(each) for each in symbol.file_descriptor_response.file_descriptor_proto]
    assert [each.name for each in files] == ["greeter.proto", "messages.proto"]
    assert {each.package for each in files} == {"shop.v1"}
    assert len(file.file_descriptor_response.file_descriptor_proto) == 1
    assert (foreign.error_response.error_code, extension.error_response.error_code) == (5, 5)
    assert list(numbers.all_extension_numbers_response.extension_number) == []
    assert await refusal(reflect(channel, eve, questions[0], micro_namespace="shop")) == (
        403,
        "access denied to namespace",
    )
    assert (await refusal(reflect(channel, "", questions[0], micro_namespace="shop")))[0] == 401


@pytest.mark.usefixtures("populated")
async def test_a_table_with_a_method_without_a_scope_keeps_the_sidecar_from_starting(monkeypatch, tmp_path):
    from dataclasses import replace

    from primitives.auth import rpc

    bare = {**rpc.METHODS, "Auth.Token": replace(rpc.METHODS["Auth.Token"], scope=None)}
    monkeypatch.setattr(rpc, "METHODS", bare)
    with pytest.raises(MethodWithoutScope, match=r"auth\.Auth\.Token"):
        await Sidecar(index=0, database=dsn()).serve(tmp_path / "s.sock", stop=asyncio.Event())


STRIP_A_SCOPE = """
import dataclasses
from primitives.auth import rpc
rpc.METHODS["Auth.Token"] = dataclasses.replace(rpc.METHODS["Auth.Token"], scope=None)
"""


def start(folder, before: str = "") -> subprocess.Popen[str]:
    """`manage.py sidecar` in a process of its own, after the statements `before`; its socket is in `folder`."""
    run = "from django.core.management import call_command; call_command('sidecar')"
    script = f"import django; django.setup()\n{before}\n{run}"
    environment = {
        **os.environ, "MICRO_RUN": str(folder), "DATABASE_URL": dsn(), "PYTHONPATH": ".:platform",
        "DJANGO_SETTINGS_MODULE": "project.settings",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.usefixtures("populated")
def test_the_process_answers_on_its_socket_and_ends_within_five_seconds_of_a_sigterm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    process = start(folder)
    with grpc.insecure_channel(f"unix:{folder / 'sidecar-0.sock'}") as channel:
        grpc.channel_ready_future(channel).result(30)
        watch = channel.unary_stream("/registry.Registry/Watch")(b"")
        assert channel.unary_unary("/auth.Debug/Health")(b"") == b"\n\x02ok"
        process.terminate()
        assert process.wait(5) == 0
        watch.cancel()


@pytest.mark.usefixtures("populated")
def test_the_process_does_not_start_with_a_method_without_a_scope(tmp_path_factory):
    process = start(tmp_path_factory.mktemp("s"), STRIP_A_SCOPE)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Without a scope: auth.Auth.Token." in errors
