"""A service: handlers behind a name, served until somebody says stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from . import errors, handlers, wire
from .handlers import Endpoint, Signature
from .proto import debug_pb2
from .schema import Mistake, Schema
from .serving import Debug, Health, Router, ServerReflection, Statistics

THREADS = 32
DRAIN_S = 5.0
TTL_S = 90
RENEWAL_S = 30.0


class Service:
    """What `micro run` runs.

        service = Service("helloworld")
        service.handle(Helloworld())
        service.run()

    The platform's name for it, in MICRO_SERVICE_NAME, wins over the one given here: a folder may run under any name.
    """

    def __init__(self, name: str, *, version: str = "latest", address: str = "") -> None:
        self.name = os.environ.get("MICRO_SERVICE_NAME") or name
        self.version = os.environ.get("MICRO_SERVICE_VERSION") or version
        self._address = address
        self._schema = Schema(handlers.package_of(self.name))
        self._over_dataclasses: list[tuple[object, str, dict[str, Signature]]] = []
        self._over_stubs: list[object] = []
        self._names: set[str] = set()

    def handle(self, handler: object, *, name: str = "") -> None:
        """Serve the handler's methods as `<service>.<Handler>/<Method>`.

        A handler has methods over dataclasses, or derives from a Servicer that protoc made. Raises
        micro.schema.Mistake, a TypeError, for one that cannot be served.
        """
        stub = handlers.stub_service(handler)
        served_as = stub.name if stub else name or type(handler).__name__
        if served_as in self._names:
            raise Mistake(f"{self.name} has two handlers named {served_as}.")
        self._names.add(served_as)
        if stub:
            self._over_stubs.append(handler)
            return
        _, signatures = handlers.describe(handler, self._schema, served_as)
        self._over_dataclasses.append((handler, served_as, signatures))

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C; requests under way get 5 s to finish."""
        if not self._names:
            raise Mistake(f"{self.name} has no handler: call service.handle(...) before service.run().")
        try:
            with asyncio.Runner(loop_factory=_uvloop()) as runner:
                runner.run(self._serve())
        except errors.Error as error:
            sys.exit(f"{self.name}: {error.detail}")

    async def _serve(self) -> None:
        statistics = Statistics()
        endpoints, services, files = self._built()
        health = Health(services)
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="handler")
        router = Router(self.name, statistics)
        router.add(endpoints)
        router.add(handlers.over_stubs(Debug(statistics), debug_pb2.DESCRIPTOR.services_by_name["Debug"]))
        reflection = ServerReflection()
        reflection._add(services, files, self._texts())
        _add_standard(router, health, reflection)
        server = grpc.aio.server(
            migration_thread_pool=threads,
            handlers=(router,),
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", wire.MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", wire.MAX_MESSAGE_BYTES),
            ],
        )
        stop = _stop_signal()
        address = await _listen(server, self._listen_address())
        _say(f"{self.name} listens on {address}")
        async with self._registration(address, files):
            await stop.wait()
        health._stop()
        await server.stop(DRAIN_S)
        threads.shutdown(wait=False, cancel_futures=True)
        _leave_stuck_threads()

    def _built(self) -> tuple[list[Endpoint], list[str], list[FileDescriptor]]:
        """What is served, the full names of its services, and the files that describe them."""
        endpoints: list[Endpoint] = []
        services: list[str] = []
        files: list[FileDescriptor] = []
        if self._over_dataclasses:
            files.append(self._schema.build())
        for handler, name, signatures in self._over_dataclasses:
            endpoints += handlers.over_dataclasses(handler, self._schema, signatures, name)
            services.append(f"{self._schema.file.package}.{name}")
        for handler in self._over_stubs:
            if stub := handlers.stub_service(handler):
                endpoints += handlers.over_stubs(handler, stub)
                services.append(stub.full_name)
                files.append(stub.file)
        return endpoints, services, handlers.with_imports(files)

    def _texts(self) -> dict[str, bytes]:
        """The file of our own, with the comments that descriptors leave out."""
        return {self._schema.file.name: self._schema.file.SerializeToString()}

    def _listen_address(self) -> str:
        address = os.environ.get("MICRO_SERVICE_ADDRESS") or self._address
        if address:
            return f"0.0.0.0{address}" if address.startswith(":") else address  # noqa: S104
        return f"127.0.0.1:{os.environ.get('PORT') or 0}"

    @contextlib.asynccontextmanager
    async def _registration(self, address: str, files: list[FileDescriptor]) -> AsyncIterator[None]:
        """A service that the platform did not start tells the registry about itself, until it stops."""
        if os.environ.get("MICRO_SERVICE_ADDRESS"):
            yield
            return
        described = descriptor_pb2.FileDescriptorSet()
        texts = self._texts()
        for file in files:
            described.file.add().ParseFromString(texts.get(file.name, file.serialized_pb))
        registration = _Registration(self, address, described.SerializeToString())
        renewing = asyncio.create_task(registration.keep())
        try:
            yield
        finally:
            renewing.cancel()
            await registration.end()


class _Registration:
    """This process in the platform's registry."""

    def __init__(self, service: Service, address: str, descriptors: bytes) -> None:
        self._service = service
        self._address = address
        self._node = f"{service.name}-{uuid.uuid4()}"
        self._descriptors = descriptors
        self._told = ""
        self._is_registered = False

    async def keep(self) -> None:
        """Register, and again before the registration ends; says once what came of it, and again when that changes."""
        while True:
            try:
                await asyncio.to_thread(self._register)
                self._say(f"{self._service.name} is registered. Call it: micro {self._service.name} --help")
            except errors.Unauthenticated:
                self._say(f"{self._service.name} is not registered: log in with `micro login`, then start it again.")
            except errors.Error as error:
                self._say(
                    f"{self._service.name} is not registered: {error.detail}. It goes on serving and tries again."
                )
            await asyncio.sleep(RENEWAL_S)

    async def end(self) -> None:
        if not self._is_registered:
            return
        try:
            await asyncio.wait_for(asyncio.to_thread(self._deregister), DRAIN_S)
        except (errors.Error, TimeoutError) as error:
            _say(f"{self._service.name} could not deregister ({error}); the registry forgets it in {TTL_S} s.")

    def _register(self) -> None:
        from . import registry

        registry.register(
            self._service.name,
            version=self._service.version,
            node=self._node,
            address=self._address,
            descriptors=self._descriptors,
            ttl_s=TTL_S,
        )
        self._is_registered = True

    def _deregister(self) -> None:
        from . import registry

        registry.deregister(self._service.name, version=self._service.version, node=self._node, address=self._address)

    def _say(self, text: str) -> None:
        if text != self._told:
            self._told = text
            _say(text)


async def _listen(server: grpc.aio.Server, address: str) -> str:
    """Start the server; where it listens. Raises Unavailable when the address is not free."""
    _require_free(address)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise errors.Unavailable(f"Cannot listen on {address}: {error}") from None
    await server.start()
    return f"{address.rpartition(':')[0]}:{port}"


def _require_free(address: str) -> None:
    """Raises Unavailable. grpcio would say it in a log line of its own before it raises."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_server((host.strip("[]"), int(port)), family=_family(host)).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise errors.Unavailable(f"Cannot listen on {address}: {reason}.") from None
    except ValueError:
        raise errors.Unavailable(f"Cannot listen on {address}: it is not of the form host:port.") from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _add_standard(router: Router, health: Health, reflection: ServerReflection) -> None:
    """Health and reflection, under their full names alone."""
    standard: list[tuple[str, object]] = [
        ("grpc.health.v1", health),
        ("grpc.reflection.v1", reflection),
        ("grpc.reflection.v1alpha", reflection),
    ]
    for package, handler in standard:
        schema = Schema(package)
        full_name, signatures = handlers.describe(handler, schema)
        reflection._add([full_name], [schema.build()], {})
        router.add(handlers.over_dataclasses(handler, schema, signatures), full_name=full_name)


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Half as many requests again where uvloop happens to be installed; nothing needs it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop  # type: ignore[no-any-return]


def _leave_stuck_threads() -> None:
    """A handler that did not finish in time must not keep a stopped service alive."""
    deadline = time.monotonic() + 0.2
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("handler")]:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            _say("A handler did not finish in time; stopping without it.")
            os._exit(0)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
