"""The runtime as its clients see it: messages in, messages out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from deploying import eventually, hello, pack

from micro.cli.deployments import REPLACED, STATES
from micro.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unimplemented
from micro.proto import runtime_pb2 as wire
from runtime import rpc, statuses
from runtime.models import Deployment, Release, Replica, Service
from tenants.operations import create_namespace
from transport.callers import Account, Caller

SHOWS_ITS_SECRET = """
import os, time
print(len(os.environ["PASSWORD"]), *[name for name in os.environ if "GIT" in name], flush=True)
time.sleep(600)
"""
pytestmark = pytest.mark.django_db(transaction=True)
ADMIN = Caller(account=Account("admin", "user", "micro", "admin", ("admin",)), namespace="micro")
STRANGER = Caller(account=Account("joe", "user", "acme", "joe", ("admin",)), namespace="acme")


def resource(name: str = "web", **fields: object) -> wire.Resource:
    return wire.Resource(service=wire.Service(name=name, **fields))


def call(method: str, request: object, caller: Caller = ADMIN) -> object:
    return asyncio.run(rpc.METHODS[f"Runtime.{method}"].function(request, caller))


def upload(data: bytes, *, name: str = "web", version: str = "", caller: Caller = ADMIN) -> str:
    async def chunks() -> AsyncIterator[wire.UploadRequest]:
        service = wire.Service(name=name, version=version) if name else None
        for start in range(0, max(len(data), 1), 1024):
            yield wire.UploadRequest(service=service if start == 0 else None, data=data[start : start + 1024])

    return asyncio.run(rpc.METHODS["Source.Upload"].function(chunks(), caller)).id


def read(name: str = "", caller: Caller = ADMIN, **options: str) -> list[wire.Service]:
    request = wire.ReadRequest(options=wire.ReadOptions(service=name, **options))
    return list(call("Read", request, caller).services)


def records(kind: str = "run", *, count: int = 0, name: str = "web") -> list[wire.LogRecord]:
    async def collect() -> list[wire.LogRecord]:
        request = wire.LogsRequest(service=name, kind=kind, count=count)
        return [record async for record in rpc.METHODS["Runtime.Logs"].function(request, ADMIN)]

    return asyncio.run(collect())


def log(kind: str = "run", *, count: int = 0, name: str = "web") -> list[str]:
    return [record.message for record in records(kind, count=count, name=name)]


def work(platform) -> None:
    """Do what the worker would."""
    for deployment in Deployment.objects.in_namespace("micro").filter(state="queued"):
        platform.work(deployment)


def test_a_folder_is_uploaded_created_read_logged_updated_and_deleted(platform, running, envoy):
    source = upload(pack(hello("one")))
    assert source == "source://web:latest"
    options = wire.CreateOptions(env=["COLOUR=a=b"], instances=1)
    shown = resource(source=source, metadata={"source": "./web"})
    call("Create", wire.CreateRequest(resource=shown, options=options))
    assert [(s.name, s.version, s.source, s.status) for s in read()] == [("web", "latest", "./web", 1)]
    work(platform)
    eventually(lambda: read("web")[0].status == statuses.Status.RUNNING)
    (service,) = read("web")
    assert service.metadata["owner"] == "admin"
    assert service.metadata["group"] == "micro"
    assert service.metadata["started"].endswith("Z")
    assert len(service.metadata["build"]) == 7
    eventually(lambda: log() == ["hello from one"])
    eventually(lambda: "Release 1 is built; starting it." in log("build"))
    assert any(line.startswith("Detected Python, from Procfile") for line in log("build"))
    assert log("build", count=1) == ["Release 1 is built; starting it."]

    upload(pack(hello("two")))
    call("Update", wire.UpdateRequest(resource=resource(source=source)))
    work(platform)
    eventually(lambda: read("web")[0].metadata["release"] == "2")
    eventually(lambda: log("build")[-1:] == ["Release 2 is built; starting it."])
    assert "Release 1 is built; starting it." not in log("build", count=100)
    assert Deployment.objects.in_namespace("micro").latest("created_at").env == {"COLOUR": "a=b"}

    call("Delete", wire.DeleteRequest(resource=resource()))
    assert read() == []
    with pytest.raises(NotFound, match="not found"):
        call("Delete", wire.DeleteRequest(resource=resource()))


def test_the_command_line_knows_every_state_of_a_deployment():
    assert {*STATES} == {*Deployment.State.values, REPLACED}


def test_a_line_of_the_log_names_its_moment_and_the_release_and_the_replica_that_printed_it(platform, running, envoy):
    begun = time.time()
    platform.deploy("web", hello("one"), instances=2)
    nodes = {replica.node_id for replica in Replica.objects.in_namespace("micro")}
    eventually(lambda: len(records()) == 2)
    assert {record.metadata["replica"] for record in records()} == nodes
    assert [record.metadata["release"] for record in records()] == ["1", "1"]
    assert all(begun < record.timestamp + record.milliseconds / 1000 < time.time() for record in records())

    platform.deploy("web", hello("two"), instances=1)
    eventually(lambda: len(records()) == 3)
    written = [(record.message, record.metadata["release"]) for record in records()]
    assert written == [("hello from one", "1"), ("hello from one", "1"), ("hello from two", "2")]
    Release.objects.filter(number=1).delete()
    assert [sorted(record.metadata) for record in records()] == [["replica"], ["replica"], ["release", "replica"]]
    assert [dict(record.metadata) for record in records("build") if record.metadata] == []


def test_create_on_a_service_that_is_there_deploys_it_anew(platform):
    source = upload(pack(hello("one")))
    for _ in range(2):
        call("Create", wire.CreateRequest(resource=resource(source=source)))
    assert Service.objects.in_namespace("micro").count() == 1
    states = Deployment.objects.in_namespace("micro").values_list("state", flat=True)
    assert list(states) == ["superseded", "queued"]


def test_a_deployment_under_way_is_cancelled_by_the_name_of_its_service(platform):
    call("Create", wire.CreateRequest(resource=resource(source=upload(pack(hello("one"))))))
    with pytest.raises(NotFound, match="not found"):
        call("Cancel", wire.CancelRequest(resource=resource("other")))
    call("Cancel", wire.CancelRequest(resource=resource()))
    (service,) = read("web")
    assert (service.status, service.metadata["warning"]) == (statuses.Status.STOPPED, "Cancelled by admin.")
    with pytest.raises(FailedPrecondition, match="it is cancelled"):
        call("Cancel", wire.CancelRequest(resource=resource()))


def test_a_source_that_may_not_be_fetched_is_refused_at_once_and_leaves_no_service(platform):
    for source in ("https://10.0.0.1/a/b.git", "file:///etc", "ext::sh -c id", "source://web:latest", "source://x", ""):
        with pytest.raises((InvalidArgument, NotFound)):
            call("Create", wire.CreateRequest(resource=resource(source=source)))
    assert read() == []


def test_requests_that_name_nothing_or_too_much_are_refused(platform):
    with pytest.raises(InvalidArgument, match="blank resource"):
        call("Create", wire.CreateRequest())
    with pytest.raises(Unimplemented):
        call("Create", wire.CreateRequest(resource=wire.Resource(namespace=wire.Namespace(name="x"))))
    volumes = wire.CreateOptions(volumes={"/": "/"})
    with pytest.raises(Unimplemented):
        call("Create", wire.CreateRequest(resource=resource(source="github.com/a/b"), options=volumes))
    with pytest.raises(InvalidArgument, match="run or build"):
        log("secrets")
    with pytest.raises(NotFound):
        log()


def test_uploads_without_a_name_or_with_a_hostile_archive_are_refused_and_leave_no_file(platform, home):
    with pytest.raises(InvalidArgument, match="No service was sent"):
        upload(pack(hello("one")), name="")
    with pytest.raises(InvalidArgument):
        upload(b"no archive")
    with pytest.raises(InvalidArgument):
        upload(pack({"../evil": "x"}))
    with pytest.raises(InvalidArgument):
        upload(pack(hello("one")), name="../evil")
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_stranger_sees_and_touches_nothing_of_another_namespace(platform):
    create_namespace(slug="acme")
    source = upload(pack(hello("one")))
    call("Create", wire.CreateRequest(resource=resource(source=source)))
    options = {"options": {"namespace": "micro"}}
    assert read(caller=STRANGER) == []
    for method, request in {
        "Read": wire.ReadRequest(**options),
        "Create": wire.CreateRequest(resource=resource(source=source), **options),
        "Update": wire.UpdateRequest(resource=resource(source=source), **options),
        "Delete": wire.DeleteRequest(resource=resource(), **options),
    }.items():
        with pytest.raises(PermissionDenied):
            call(method, request, STRANGER)
    with pytest.raises(NotFound):
        call("Delete", wire.DeleteRequest(resource=resource()), STRANGER)
    with pytest.raises(NotFound):  # an upload is found in the namespace of the service alone
        call("Create", wire.CreateRequest(resource=resource(source=source)), STRANGER)
    assert len(read()) == 1


def test_an_admin_of_the_platform_deploys_into_another_namespace(platform):
    create_namespace(slug="acme")
    options = wire.CreateOptions(namespace="acme")
    call("Create", wire.CreateRequest(resource=resource(source="github.com/a/b"), options=options))
    assert [service.name for service in read(namespace="acme")] == ["web"]
    assert read() == []


def test_a_private_repository_is_deployed_and_updated_with_the_token_that_came_with_it(platform, git):
    git.commit("app", hello("one"))
    git.logins["/app.git"] = "x-access-token:hunter2"
    options = wire.CreateOptions(secrets={"GIT_CREDENTIALS": "hunter2"})
    call("Create", wire.CreateRequest(resource=resource(source=git.url("app")), options=options))
    work(platform)
    call("Update", wire.UpdateRequest(resource=resource(source=git.url("app"))))
    work(platform)
    call("Create", wire.CreateRequest(resource=resource(source=git.url("other"))))  # not the repository it is for
    deployments = Deployment.objects.in_namespace("micro")
    assert list(deployments.values_list("state", flat=True)) == ["superseded", "superseded", "queued"]
    assert [release.secrets for release in Release.objects.all()] == [{}, {}]
    assert [bool(deployment.git_token) for deployment in deployments] == [True, True, False]
    assert "hunter2" not in str(list(deployments.values()))


def test_secrets_reach_the_service_and_are_not_shown(platform, running, envoy):
    source = upload(pack({"main.py": SHOWS_ITS_SECRET, "Procfile": "web: python main.py"}))
    options = wire.CreateOptions(secrets={"PASSWORD": "hunter2", "GIT_CREDENTIALS": "a-token"})
    call("Create", wire.CreateRequest(resource=resource(source=source), options=options))
    work(platform)
    eventually(lambda: "7" in log())
    assert "hunter2" not in str(read())
    assert "hunter2" not in str(list(Deployment.objects.in_namespace("micro").values()))
    assert Deployment.objects.in_namespace("micro").get().git_token is None  # an upload needs none


def test_what_its_owner_says_of_a_service_is_shown_and_hides_nothing_of_ours(platform):
    said = {"source": "./web", "team": "shop", "owner": "somebody else", "error": "none at all"}
    call("Create", wire.CreateRequest(resource=resource(source="github.com/a/b", metadata=said)))
    [service] = read("web")
    assert (service.metadata["team"], service.metadata["owner"], service.source) == ("shop", "admin", "./web")
    assert "error" not in service.metadata
    call("Create", wire.CreateRequest(resource=resource(source="github.com/a/b")))
    assert read("web")[0].metadata["team"] == "shop"
    for wrong in ({"": "x"}, {"x": "\0"}, {"x": "y" * 5000}):
        with pytest.raises(InvalidArgument, match="metadata"):
            call("Create", wire.CreateRequest(resource=resource(source="github.com/a/b", metadata=wrong)))


def test_services_are_of_one_type(platform):
    call("Create", wire.CreateRequest(resource=resource(source="github.com/a/b")))
    assert [len(read(type=kind)) for kind in ("", "service", "other")] == [1, 1, 0]
