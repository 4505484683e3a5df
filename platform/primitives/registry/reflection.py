"""gRPC reflection of a namespace: what the platform and the services that are registered there offer.

A service's own server is asked at the service's own host; this answers where no service is named. Both versions of the
protocol have the same messages.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2 as wire

from micro import interfaces
from transport.callers import PLATFORM_NAMESPACE, Caller, authorize
from transport.methods import ANYONE, Methods, bidi

from .listings import Listings
from .remembered import Remembered

VERSIONS = ("v1", "v1alpha")
OWN = "grpc."  # health, reflection and their kin: nobody's interface
LARGEST_BYTES = 2 << 20  # of the descriptors of one namespace; what goes beyond is told by the service's own server
LINKED_COST = 50  # times its descriptors, as they are sent, weighs what was linked of them

Found = Sequence[FileDescriptor]


class Offer:
    """What one server offers: the full names of its services, and the files in which everything is declared."""

    def __init__(self, pool: Any, names: Sequence[str]) -> None:
        self.names = names
        self._pool = pool

    def file(self, name: str) -> Found:
        """The file of this name, and what it imports."""
        return _with_imports(self._pool.FindFileByName(name))

    def symbol(self, name: str) -> Found:
        """The file that declares a service, method, message, enum or field, and what it imports."""
        try:
            return _with_imports(self._pool.FindFileContainingSymbol(name))
        except KeyError:  # protobuf looks for no methods
            service, _, method = name.rpartition(".")
            return _with_imports(self._pool.FindServiceByName(service).methods_by_name[method].containing_service.file)

    def extension(self, message: str, number: int) -> Found:
        """The file that declares an extension, and what it imports."""
        extended = self._pool.FindMessageTypeByName(message)
        return _with_imports(self._pool.FindExtensionByNumber(extended, number).file)

    def extension_numbers(self, message: str) -> list[int]:
        """The numbers of the extensions of a message."""
        extended = self._pool.FindMessageTypeByName(message)
        return sorted(extension.number for extension in self._pool.FindAllExtensions(extended))


class Reflection:
    """The tables of the reflection services. `platform` has the full names of the platform's own services."""

    def __init__(self, listings: Listings, *, platform: Sequence[str]) -> None:
        self._listings = listings
        self._platform = Offer(descriptor_pool.Default(), sorted(platform))
        self._offers: Remembered[Offer] = Remembered(2 * LINKED_COST * LARGEST_BYTES)

    def tables(self) -> Mapping[str, Methods]:
        """What to mount, by service name."""
        info = bidi(
            self.info, request=wire.ServerReflectionRequest, response=wire.ServerReflectionResponse, scope=ANYONE
        )
        return {f"{OWN}reflection.{version}": {"ServerReflection.ServerReflectionInfo": info} for version in VERSIONS}

    async def info(
        self, requests: AsyncIterator[wire.ServerReflectionRequest], caller: Caller
    ) -> AsyncIterator[wire.ServerReflectionResponse]:
        """Answer questions on the caller's namespace as it is when the first one comes.

        Raises Unauthenticated and PermissionDenied for a namespace that is not the caller's own; the platform's is
        everybody's to read.
        """
        namespace = authorize(caller, caller.namespace, public=caller.namespace == PLATFORM_NAMESPACE)
        sets = await self._listings.descriptor_sets(namespace=namespace, largest_bytes=LARGEST_BYTES)
        offers = [self._platform, *[await self._offer(each) for each in sets]]
        async for request in requests:
            yield _answer(request, offers)

    async def _offer(self, descriptors: bytes) -> Offer:
        """What a set offers, linked in a thread unless it was before."""
        digest = hashlib.sha256(descriptors).hexdigest()
        offer = self._offers.get(digest)
        if offer is None:
            offer = await asyncio.to_thread(_link, descriptors)
            self._offers.put(digest, offer, size_bytes=LINKED_COST * len(descriptors))
        return offer


def _answer(request: wire.ServerReflectionRequest, offers: Sequence[Offer]) -> wire.ServerReflectionResponse:
    """The answer to one question; of what several offer, the platform's, else the first service's counts."""
    answer = wire.ServerReflectionResponse(valid_host=request.host, original_request=request)
    kind = request.WhichOneof("message_request")
    if kind == "list_services":
        names = sorted({name for offer in offers for name in offer.names})
        answer.list_services_response.service.extend(wire.ServiceResponse(name=name) for name in names)
    elif kind == "all_extension_numbers_of_type":
        message = request.all_extension_numbers_of_type
        numbers = _first(offers, lambda offer: offer.extension_numbers(message))
        if numbers is None:
            _not_found(answer)
        else:
            found = wire.ExtensionNumberResponse(base_type_name=message, extension_number=numbers)
            answer.all_extension_numbers_response.CopyFrom(found)
    else:
        files = _first(offers, _question(request, kind)) if kind else None
        if files is None:
            _not_found(answer)
        else:
            answer.file_descriptor_response.file_descriptor_proto.extend(file.serialized_pb for file in files)
    return answer


def _question(request: wire.ServerReflectionRequest, kind: str) -> Callable[[Offer], Found]:
    if kind == "file_by_filename":
        return lambda offer: offer.file(request.file_by_filename)
    if kind == "file_containing_symbol":
        return lambda offer: offer.symbol(request.file_containing_symbol)
    extension = request.file_containing_extension
    return lambda offer: offer.extension(extension.containing_type, extension.extension_number)


def _first(offers: Sequence[Offer], ask: Callable[[Offer], Any]) -> Any:
    """What the first that knows it answers; None when nobody does."""
    for offer in offers:
        try:
            return ask(offer)
        except KeyError:
            continue
    return None


def _not_found(answer: wire.ServerReflectionResponse) -> None:
    answer.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
    answer.error_response.error_message = "Nothing of this name is offered here."


def _link(descriptors: bytes) -> Offer:
    """What a serialized FileDescriptorSet offers; nothing when it is excessive or cannot be linked."""
    pool = descriptor_pool.DescriptorPool()
    if interfaces.find_fault(descriptors):
        return Offer(pool, ())
    try:
        files = FileDescriptorSet.FromString(descriptors).file
        for file in files:
            pool.AddSerializedFile(file.SerializeToString())
        linked = [pool.FindFileByName(file.name) for file in files]
    except (DecodeError, TypeError, KeyError, ValueError):  # what protobuf raises for what tenants may register
        return Offer(descriptor_pool.DescriptorPool(), ())
    names = [service.full_name for file in linked for service in file.services_by_name.values()]
    return Offer(pool, [name for name in names if not name.startswith(OWN)])


def _with_imports(file: FileDescriptor) -> Found:
    """The file and everything that it needs, each once, by way of a list: a row of imports may be long."""
    found, waiting = {file.name: file}, [file]
    while waiting:
        for imported in waiting.pop().dependencies:
            if imported.name not in found:
                found[imported.name] = imported
                waiting.append(imported)
    return list(found.values())
