"""Keeping what listens on this machine in the registry, for as long as it listens."""

from __future__ import annotations

import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
import grpc

from micro import errors, interfaces, reflecting, registry, runtime

from . import gateway
from .failures import Failure, capitalised

if TYPE_CHECKING:
    from micro.client import Client

    from .endpoints import Endpoint

TTL_S, RENEWAL_S = 90, 30.0
LOOK_EVERY_S = 1.0
READY_TIMEOUT_S = 3.0
STOPS_WITHIN_S = 10.0
# Of a first try, what no later one can mend.
FINAL = (errors.PermissionDenied, errors.InvalidArgument, errors.Unauthenticated)


@dataclass
class Registration:
    """One endpoint under a service's name."""

    name: str
    endpoint: Endpoint
    client: Client
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._node = f"{self.name}-{uuid.uuid4()}"
        self._registered = ""  # the address, blank while it is not registered
        self._renewed = 0.0
        self._told = ""
        self._excess = ""  # why what its server tells of itself is left out

    def look(self) -> None:
        """Make the registry say what is the case. Raises Failure where that can never be."""
        address = self.endpoint.address()
        if not address:
            self.end()
            self._say(f"Nothing answers at {self.endpoint}: {self.name} is registered once something does.")
        elif address != self._registered or time.monotonic() - self._renewed > RENEWAL_S:
            self._register(address)

    def end(self) -> None:
        """Take it out. Where the platform is away, it forgets the node by itself."""
        if not self._registered:
            return
        address, self._registered = self._registered, ""
        try:
            registry.deregister(self.name, node=self._node, address=address, client=self.client)
        except errors.Error as error:
            self._say(f"{self.name} could not be taken out ({error}); the registry forgets it in {TTL_S} s.")

    def _register(self, address: str) -> None:
        descriptors = self._descriptors(address)
        if descriptors is None:
            return
        try:
            self._require_free()
            registry.register(
                self.name,
                node=self._node,
                address=address,
                protocol=self.endpoint.protocol,
                metadata=self.metadata,
                descriptors=descriptors,
                ttl_s=TTL_S,
                client=self.client,
            )
        except errors.Error as error:
            if isinstance(error, FINAL) and not self._renewed:
                raise _refusal(error, self.endpoint) from None
            self._say(f"{self.name} is not registered: {error.detail}. Trying again.")
            return
        self._registered, self._renewed = address, time.monotonic()
        self._say(self._how_to_call(descriptors))

    def _require_free(self) -> None:
        """Raises Failure for the name of a service that the platform runs: calls would reach one or the other.

        Asked again each time: while its endpoint was away, or at the same moment, the platform may have begun to.
        """
        if runtime.read(self.name, client=self.client):
            raise Failure(
                f"{self.name} is a service that the platform runs: choose another --name, or `micro kill {self.name}` "
                "first."
            )

    def _descriptors(self, address: str) -> bytes | None:
        """What a gRPC server offers, blank when it does not say; None when it speaks no gRPC."""
        if self.endpoint.protocol == "http":
            return b""
        options = [*reflecting.CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address, options=options) as channel:
            try:
                grpc.channel_ready_future(channel).result(READY_TIMEOUT_S)
            except grpc.FutureTimeoutError:
                self.end()
                self._say(f"What listens at {self.endpoint} speaks no gRPC: say --endpoint http://… if it speaks HTTP.")
                return None
            try:
                found = reflecting.describe(channel)
                self._excess = interfaces.find_fault(found) if found else ""
            except reflecting.Excessive as excess:
                self._excess = str(excess)
            return b"" if self._excess else found

    def _how_to_call(self, descriptors: bytes) -> str:
        told = f"{self.name} is registered"
        if self.endpoint.protocol == "http":
            return f"{told}. Open it at {gateway.of_any(self.name, self.client.namespace)}."
        if descriptors:
            return f"{told}. Call it: micro {self.name} --help"
        if self._excess:
            return f"{told} without its methods, as {self._excess}."
        return f"{told} without its methods: `micro {self.name}` knows them once it has gRPC reflection."

    def _say(self, text: str) -> None:
        """Once, and again when it has changed meanwhile."""
        if text != self._told:
            self._told = text
            click.echo(text, err=True)


def _refusal(error: errors.Error, endpoint: Endpoint) -> Exception:
    if isinstance(error, errors.Unauthenticated):
        return error
    if not isinstance(error, errors.PermissionDenied):
        return Failure(capitalised(error.detail))
    return Failure(f"{endpoint} cannot be registered: {error.detail}.")


def keep(registration: Registration, command: Sequence[str], stopped: threading.Event) -> int:
    """Keep it registered until `stopped`, or until the command ends, which is run meanwhile; the exit code."""
    child = _started(command) if command else None
    try:
        while not stopped.is_set() and (child is None or child.poll() is None):
            registration.look()
            stopped.wait(LOOK_EVERY_S)
    finally:
        registration.end()
        code = _ended(child) if child else 0
    return code


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command)
    except OSError as error:
        raise Failure(f"{command[0]} cannot be started: {error.strerror}.", 127) from None


def _ended(child: subprocess.Popen[bytes]) -> int:
    """Have the command end; its exit code, as shells write that of a killed one."""
    child.terminate()
    try:
        code = child.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        code = child.wait()
    return code if code >= 0 else 128 - code
