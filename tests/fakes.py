"""The only test doubles. Each speaks the real protocol of what it stands for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import socket
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import keyring.backend
from google.protobuf.message import Message

from micro import codec, errors, wire
from micro.channel import CODES
from micro.proto import auth_pb2, registry_pb2, runtime_pb2


@dataclass
class FakeAccount:
    """An account and its secret."""

    secret: str
    scopes: tuple[str, ...] = ("admin",)
    type: str = "user"


@dataclass
class FakeDeployment:
    """A deployed service whose status takes one step at each read; the last step stays."""

    service: runtime_pb2.Service
    steps: list[tuple[str, dict[str, str]]]


@dataclass
class FakeSidecar(grpc.GenericRpcHandler):
    """The platform's front door: auth, registry and runtime in memory, other services forwarded to where they listen.

    `steps` is what the next deployments go through: status words with the metadata that goes with them.
    """

    accounts: dict[tuple[str, str], FakeAccount] = field(
        default_factory=lambda: {("micro", "admin"): FakeAccount("micro")}
    )
    token_life_s: int | None = None
    steps: list[tuple[str, dict[str, str]]] = field(default_factory=lambda: [("running", {})])
    build_log: list[str] = field(default_factory=lambda: ["Release 1 is built; starting it."])
    log_lag_s: float = 0
    upload_lag_s: float = 0
    run_log: list[str] = field(default_factory=list)
    log_metadata: dict[str, str] = field(default_factory=dict)
    cancelled: list[tuple[str, str, str]] = field(default_factory=list)
    created: list[runtime_pb2.CreateRequest] = field(default_factory=list)
    updated: list[runtime_pb2.UpdateRequest] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    registered: dict[tuple[str, str], registry_pb2.Service] = field(default_factory=dict)
    deployments: dict[tuple[str, str, str], FakeDeployment] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refuse: Callable[[runtime_pb2.Service], errors.Error | None] = lambda _service: None

    def __enter__(self) -> Self:
        self._access: dict[str, tuple[str, str, float]] = {}
        self._refresh: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(16), (self,), options=[("grpc.so_reuseport", 0)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.stop(None).wait()

    # The front door.

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        metadata = {key: str(value) for key, value in call.invocation_metadata}
        self.calls.append((call.method, metadata))
        service, _, method = call.method.removeprefix("/").partition("/")
        name, _, handler = service.rpartition(".")
        known = self._methods().get(f"{handler}.{method}") if name in wire.PLATFORM_SERVICES else None
        if known is None:
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._forwarded(call, requests, context)
            )
        request, function = known
        as_json = codec.is_json(call.invocation_metadata)

        def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            try:
                decoded = (codec.decode(request, data, as_json=as_json) for data in requests)
                for reply in function(decoded, metadata):
                    yield codec.encode(reply, as_json=as_json)
            except errors.Error as error:
                status, text, trailers = wire.to_status(error)
                context.set_trailing_metadata(trailers)
                context.abort(CODES[status], text)

        return grpc.stream_stream_rpc_method_handler(answer)

    def _methods(self) -> dict[str, tuple[type[Message], Callable[..., Iterator[Message]]]]:
        def unary(function: Callable[[Any, dict[str, str]], Message]) -> Callable[..., Iterator[Message]]:
            return lambda requests, metadata: iter([function(next(requests), metadata)])

        return {
            "Auth.Token": (auth_pb2.TokenRequest, unary(self._token)),
            "Device.Start": (auth_pb2.DeviceStartRequest, unary(self._start_device)),
            "Device.Poll": (auth_pb2.DevicePollRequest, unary(self._poll_device)),
            "Auth.Inspect": (auth_pb2.InspectRequest, unary(self._inspect)),
            "Registry.GetService": (registry_pb2.GetRequest, unary(self._get_service)),
            "Registry.ListServices": (registry_pb2.ListRequest, unary(self._list_services)),
            "Registry.Register": (registry_pb2.Service, unary(self._register)),
            "Registry.Deregister": (registry_pb2.Service, unary(self._deregister)),
            "Runtime.Create": (runtime_pb2.CreateRequest, unary(self._create)),
            "Runtime.Update": (runtime_pb2.UpdateRequest, unary(self._update)),
            "Runtime.Read": (runtime_pb2.ReadRequest, unary(self._read)),
            "Runtime.Delete": (runtime_pb2.DeleteRequest, unary(self._delete)),
            "Runtime.Cancel": (runtime_pb2.CancelRequest, unary(self._cancel)),
            "Runtime.Logs": (runtime_pb2.LogsRequest, self._logs),
            "Source.Upload": (runtime_pb2.UploadRequest, self._upload),
        }

    def _forwarded(
        self, call: grpc.HandlerCallDetails, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        metadata = dict(call.invocation_metadata)
        name = call.method.removeprefix("/").partition("/")[0].rpartition(".")[0]
        found = self.registered.get((metadata.get("micro-namespace", "micro"), name))
        if not found:
            status, text, trailers = wire.to_status(errors.NotFound(f"service {name}: route not found"))
            context.set_trailing_metadata(trailers)
            context.abort(CODES[status], text)
        passed = [(key, value) for key, value in metadata.items() if key not in ("user-agent", "te")]
        with grpc.insecure_channel(found.nodes[0].address, [("grpc.enable_http_proxy", 0)]) as channel:
            try:
                yield from channel.stream_stream(call.method, None, None)(requests, metadata=passed, timeout=20)
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata() or ())
                context.abort(error.code(), error.details())

    # auth.

    def _token(self, request: auth_pb2.TokenRequest, _: dict[str, str]) -> auth_pb2.TokenResponse:
        namespace = request.options.namespace or "micro"
        if request.refresh_token:
            with self._lock:
                namespace, id = self._refresh.get(request.refresh_token, ("", ""))
            if not id:
                raise errors.InvalidArgument("invalid token provided", id="auth")
        else:
            id = request.id
            account = self.accounts.get((namespace, id))
            if account is None:
                raise errors.InvalidArgument("Account not found with this ID", id="auth")
            if account.secret != request.secret:
                raise errors.Unauthenticated("Secret not correct", id="auth")
        return auth_pb2.TokenResponse(token=self._issue(namespace, id, request.token_expiry or 900))

    def _issue(self, namespace: str, id: str, life_s: int) -> auth_pb2.Token:
        now = int(time.time())
        expiry = now + (self.token_life_s if self.token_life_s is not None else life_s)
        claims = base64.urlsafe_b64encode(json.dumps({"sub": id, "exp": expiry}).encode()).decode().rstrip("=")
        access, refresh = f"e30.{claims}.{uuid.uuid4().hex}", uuid.uuid4().hex
        with self._lock:
            self._access[access] = namespace, id, expiry
            self._refresh[refresh] = namespace, id
        return auth_pb2.Token(access_token=access, refresh_token=refresh, created=now, expiry=expiry)

    def _inspect(self, request: auth_pb2.InspectRequest, _: dict[str, str]) -> auth_pb2.InspectResponse:
        with self._lock:
            namespace, id, _expiry = self._access.get(request.token, ("", "", 0))
        if not id:
            raise errors.InvalidArgument("invalid token provided", id="auth")
        account = self.accounts[namespace, id]
        return auth_pb2.InspectResponse(
            account=auth_pb2.Account(id=id, name=id, issuer=namespace, type=account.type, scopes=account.scopes)
        )

    def _start_device(self, _request: auth_pb2.DeviceStartRequest, _: dict[str, str]) -> auth_pb2.DeviceStartResponse:
        page, code = "https://pages.example/device", "BCDF-GHJK"
        return auth_pb2.DeviceStartResponse(
            device_code="long", user_code=code, verification_uri=page, verification_uri_complete=f"{page}?code={code}",
            interval=1,
        )  # fmt: skip

    def _poll_device(self, request: auth_pb2.DevicePollRequest, _: dict[str, str]) -> auth_pb2.DevicePollResponse:
        """Confirmed by the admin, as soon as it is asked for a second time."""
        asked = sum(path == "/auth.Device/Poll" for path, _ in self.calls)
        if asked < 2:
            return auth_pb2.DevicePollResponse()
        token = self._issue("micro", "admin", request.token_expiry)
        return auth_pb2.DevicePollResponse(state=auth_pb2.CONFIRMED, token=token, namespace="micro")

    def _caller(self, metadata: dict[str, str]) -> str:
        """The caller's id. Raises Unauthenticated for nobody and for an expired token."""
        token = metadata.get("authorization", "").removeprefix("Bearer ")
        with self._lock:
            _namespace, id, expiry = self._access.get(token, ("", "", 0))
        if not id or expiry < time.time():
            raise errors.Unauthenticated("An account is required")
        return id

    # registry.

    def _get_service(self, request: registry_pb2.GetRequest, _: dict[str, str]) -> registry_pb2.GetResponse:
        found = self.registered.get((request.options.domain, request.service))
        if found is None:
            raise errors.NotFound("service not found", id="registry")
        reply = registry_pb2.Service()
        reply.CopyFrom(found)
        if not request.options.descriptors:
            reply.ClearField("descriptors")
        return registry_pb2.GetResponse(services=[reply])

    def _list_services(self, request: registry_pb2.ListRequest, _: dict[str, str]) -> registry_pb2.ListResponse:
        names = [name for namespace, name in self.registered if namespace == request.options.domain]
        return registry_pb2.ListResponse(services=[registry_pb2.Service(name=name) for name in names])

    def _register(self, service: registry_pb2.Service, metadata: dict[str, str]) -> registry_pb2.EmptyResponse:
        self._caller(metadata)
        self.registered[service.options.domain, service.name] = service
        return registry_pb2.EmptyResponse()

    def _deregister(self, service: registry_pb2.Service, metadata: dict[str, str]) -> registry_pb2.EmptyResponse:
        self._caller(metadata)
        self.registered.pop((service.options.domain, service.name), None)
        return registry_pb2.EmptyResponse()

    # runtime.

    def _upload(
        self, requests: Iterator[runtime_pb2.UploadRequest], metadata: dict[str, str]
    ) -> Iterator[runtime_pb2.UploadResponse]:
        self._caller(metadata)
        self._stopped.wait(self.upload_lag_s)
        first = next(requests)
        id = f"source://{first.service.name}:{first.service.version}"
        self.uploads[id] = first.data + b"".join(request.data for request in requests)
        yield runtime_pb2.UploadResponse(id=id)

    def uploaded(self, id: str) -> dict[str, bytes]:
        """The files of an uploaded archive."""
        with tarfile.open(fileobj=io.BytesIO(self.uploads[id]), mode="r:") as tar:
            return {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]

    def _create(self, request: runtime_pb2.CreateRequest, metadata: dict[str, str]) -> runtime_pb2.CreateResponse:
        self._deploy(request.resource.service, request.options.namespace, self._caller(metadata))
        self.created.append(request)
        return runtime_pb2.CreateResponse()

    def _update(self, request: runtime_pb2.UpdateRequest, metadata: dict[str, str]) -> runtime_pb2.UpdateResponse:
        service = request.resource.service
        if (request.options.namespace, service.name, service.version) not in self.deployments:
            raise errors.NotFound("not found", id="runtime")
        self._deploy(service, request.options.namespace, self._caller(metadata))
        self.updated.append(request)
        return runtime_pb2.UpdateResponse()

    def _deploy(self, service: runtime_pb2.Service, namespace: str, owner: str) -> None:
        if error := self.refuse(service):
            raise error
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        digest = hashlib.sha256(self.uploads.get(service.source, b"")).hexdigest()
        service.metadata.update({"owner": owner, "group": namespace, "started": started, "build": digest})
        self.deployments[namespace, service.name, service.version] = FakeDeployment(service, list(self.steps))

    def _read(self, request: runtime_pb2.ReadRequest, metadata: dict[str, str]) -> runtime_pb2.ReadResponse:
        self._caller(metadata)
        found = []
        for (namespace, name, _version), deployment in self.deployments.items():
            if namespace == request.options.namespace and name.startswith(request.options.service):
                word, more = deployment.steps[0] if len(deployment.steps) == 1 else deployment.steps.pop(0)
                service = runtime_pb2.Service()
                service.CopyFrom(deployment.service)
                service.status = [
                    "unknown",
                    "pending",
                    "building",
                    "starting",
                    "running",
                    "stopping",
                    "stopped",
                    "error",
                ].index(word)
                service.metadata.update(more)
                found.append(service)
        return runtime_pb2.ReadResponse(services=found)

    def _delete(self, request: runtime_pb2.DeleteRequest, metadata: dict[str, str]) -> runtime_pb2.DeleteResponse:
        self._caller(metadata)
        service = request.resource.service
        if self.deployments.pop((request.options.namespace, service.name, service.version), None) is None:
            raise errors.NotFound("not found", id="runtime")
        return runtime_pb2.DeleteResponse()

    def _cancel(self, request: runtime_pb2.CancelRequest, metadata: dict[str, str]) -> runtime_pb2.CancelResponse:
        self._caller(metadata)
        service = request.resource.service
        key = (request.options.namespace, service.name, service.version)
        if key not in self.deployments:
            raise errors.NotFound("not found", id="runtime")
        if key in self.cancelled:
            raise errors.FailedPrecondition("nothing is under way.", id="runtime")
        self.cancelled.append(key)
        return runtime_pb2.CancelResponse()

    def _logs(
        self, requests: Iterator[runtime_pb2.LogsRequest], metadata: dict[str, str]
    ) -> Iterator[runtime_pb2.LogRecord]:
        self._caller(metadata)
        request = next(requests)
        if not any(name == request.service for _, name, _ in self.deployments):
            raise errors.NotFound("no such service", id="runtime")
        lines = self.build_log if request.kind == "build" else self.run_log
        told = max(0, len(lines) - request.count)
        self._stopped.wait(self.log_lag_s)
        while not self._stopped.wait(0.02):
            while told < len(lines):
                yield runtime_pb2.LogRecord(
                    timestamp=1_700_000_000, milliseconds=20, message=lines[told], metadata=self.log_metadata
                )
                told += 1
            if not request.stream:
                return


class FakeEcho(grpc.GenericRpcHandler):
    """Answers in bytes, hence for any message: Echo, Last, Thrice, Each, and Break."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = call.method.rpartition("/")[2]
        if method in ("Echo", "Thrice"):
            times = 3 if method == "Thrice" else 1
            return grpc.stream_stream_rpc_method_handler(lambda sent, _: (data for data in sent for _ in range(times)))
        if method == "Break":
            return grpc.stream_stream_rpc_method_handler(
                lambda _, context: context.abort(grpc.StatusCode.INTERNAL, "it broke")
            )
        if method == "Last":
            return grpc.stream_unary_rpc_method_handler(lambda sent, _: list(sent)[-1])
        return grpc.stream_stream_rpc_method_handler(lambda sent, _: sent)


class FakeEnvoy:
    """An Envoy as far as the runtime can see: follows the registry, acknowledges each revision, sends to what it has.

    With `is_away` it follows and acknowledges nothing, and goes on with the endpoints that it has.
    """

    def __init__(self) -> None:
        self.endpoints: dict[tuple[str, str], list[str]] = {}
        self.descriptors: dict[str, bytes] = {}
        self.protocols: dict[str, str] = {}
        self.is_away = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._turn = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(5)

    def get(self, service: str, path: str = "/", *, version: str = "latest") -> str:
        """The body of an HTTP answer from one of the service's endpoints; raises when there is none or it fails."""
        import urllib.request

        found = self.endpoints[service, version]
        self._turn += 1
        with urllib.request.urlopen(f"http://{found[self._turn % len(found)]}{path}", timeout=5) as answer:
            return answer.read().decode()

    def _follow(self) -> None:
        from django.db import Error, connection

        while not self._stopped.wait(0.02):
            try:
                if not self.is_away:
                    self._look()
            except Error:
                connection.close()
        connection.close()

    def _look(self) -> None:
        import os

        from django.utils.timezone import now

        from primitives.registry import operations, records

        snapshot = records.snapshot()
        self.endpoints = {
            (entry.service, entry.version): [f"{node.host}:{node.port}" for node in entry.nodes]
            for entry in snapshot.entries
        }
        self.descriptors = {entry.service: entry.descriptors for entry in snapshot.entries}
        self.protocols = {entry.service: entry.protocol for entry in snapshot.entries}
        operations.record_ack(envoy_id="fake", pid=os.getpid(), revision=snapshot.revision, connected=True, at=now())


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A desktop's keyring; with a `refusal` it is one that cannot be used."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.refusal = ""

    def get_password(self, service: str, username: str) -> str | None:
        self._answer()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._answer()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._answer()
        del self.kept[service, username]

    def _answer(self) -> None:
        if self.refusal:
            raise RuntimeError(self.refusal)


class FakePeer:
    """Whatever may listen at an address: sends each connection the next of `answers`, byte for byte, and closes it.

    The last answer stays. `pause_s` lies between an answer's pieces; with `is_open` it goes on to hold the connection.
    """

    def __init__(self, *answers: bytes | list[bytes], pause_s: float = 0, is_open: bool = False) -> None:
        self._answers = [answer if isinstance(answer, list) else [answer] for answer in answers]
        self._pause_s, self._is_open = pause_s, is_open
        self._stopped = threading.Event()
        self.requests: list[bytes] = []

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:  # so a socket that is shut down wakes who waits for it
                return
            with connection, contextlib.suppress(OSError):  # the other end may leave early
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        self.requests.append(connection.recv(1 << 20))
        for piece in self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]:
            connection.sendall(piece)
            self._stopped.wait(self._pause_s)
        if self._is_open:
            self._stopped.wait()


@dataclass
class FakeMachine:
    """A machine on which a test says who has which port; `nodes` has the accounts of replicas by node id."""

    ports: dict[int, list[Any]] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    is_shared: bool = True

    def shares_loopback(self) -> bool:
        return self.is_shared

    def holders(self, ports: Collection[int]) -> dict[int, list[Any]]:
        return {port: self.ports[port] for port in ports if port in self.ports}

    def accounts(self, node_ids: Collection[str]) -> dict[str, str]:
        return {node_id: self.nodes[node_id] for node_id in node_ids if node_id in self.nodes}
