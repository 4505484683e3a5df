"""Asking a gRPC server what it offers, by whichever version of gRPC's reflection it has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from . import handlers
from .schema import Schema
from .serving import ServerReflection, ServerReflectionRequest, ServerReflectionResponse

VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
TIMEOUT_S = 3.0
MOST_FILES = 500


def describe(channel: grpc.Channel) -> bytes:
    """The FileDescriptorSet of everything the server offers; blank when it has no reflection."""
    for version in VERSIONS:
        with contextlib.suppress(grpc.RpcError, DecodeError):
            return _Reflection(channel, f"/{version}.ServerReflection/ServerReflectionInfo").everything()
    return b""


@cache
def _schema() -> Schema:
    """The messages, which both versions have in common."""
    schema = Schema(VERSIONS[0])
    handlers.describe(ServerReflection(), schema)
    schema.build()
    return schema


class _Reflection:
    """One server's reflection, by one version of the service."""

    def __init__(self, channel: grpc.Channel, path: str) -> None:
        self._call = channel.stream_stream(path, request_serializer=None, response_deserializer=None)
        self._files: dict[str, FileDescriptorProto] = {}

    def everything(self) -> bytes:
        """Files in the order in which they need each other."""
        for listed in self._ask(ServerReflectionRequest(list_services="")):
            for service in listed.list_services_response.service if listed.list_services_response else ():
                if not service.name.startswith("grpc."):
                    self._take(ServerReflectionRequest(file_containing_symbol=service.name))
        while missing := self._missing():
            if len(self._files) > MOST_FILES:
                return b""
            for file in missing:
                self._files.setdefault(file, FileDescriptorProto(name=file))  # asked once, even if it is not known
                self._take(ServerReflectionRequest(file_by_filename=file))
        return FileDescriptorSet(file=list(self._sorted())).SerializeToString() if self._files else b""

    def _missing(self) -> set[str]:
        return {name for file in self._files.values() for name in file.dependency} - self._files.keys()

    def _take(self, question: ServerReflectionRequest) -> None:
        for answer in self._ask(question):
            found = answer.file_descriptor_response
            for content in found.file_descriptor_proto if found else ():
                file = FileDescriptorProto.FromString(content)
                self._files[file.name] = file

    def _ask(self, question: ServerReflectionRequest) -> list[ServerReflectionResponse]:
        schema = _schema()
        sent = schema.dump(question, ServerReflectionRequest).SerializeToString()
        kind = schema.message_class(ServerReflectionResponse)
        replies = self._call(iter([sent]), timeout=TIMEOUT_S)
        return [schema.load(ServerReflectionResponse, kind.FromString(reply)) for reply in replies]

    def _sorted(self) -> Iterator[FileDescriptorProto]:
        waiting = dict(self._files)
        while waiting:
            free = [name for name, file in waiting.items() if waiting.keys().isdisjoint(file.dependency)]
            for name in free or list(waiting):
                yield waiting.pop(name)
