"""Asking a gRPC server what it offers, by whichever version of gRPC's reflection it has."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import cache

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from . import handlers, interfaces
from .schema import Schema
from .serving import ServerReflection, ServerReflectionRequest, ServerReflectionResponse

VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
TIMEOUT_S = 3.0
PATIENCE_S = 5.0  # for all questions together
LARGEST_ANSWER_BYTES = interfaces.LARGEST_BYTES + (64 << 10)
LARGEST_ANSWERS_BYTES = 16 * interfaces.LARGEST_BYTES  # many servers send the same files with each answer
CHANNEL_OPTIONS = (("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES),)  # for the channel to `describe`


class Excessive(Exception):
    """The server tells more than is heard; the text, half a sentence, says which limit is met."""


def describe(channel: grpc.Channel) -> bytes:
    """The FileDescriptorSet of everything the server offers; blank when it has no reflection.

    Raises Excessive when that is too much, or takes longer than 5 s.
    """
    for version in VERSIONS:
        with contextlib.suppress(grpc.RpcError, DecodeError, TypeError, ValueError):
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
        self._heard_bytes = self._kept_bytes = 0
        self._deadline = time.monotonic() + PATIENCE_S

    def everything(self) -> bytes:
        """Files in the order in which they need each other."""
        for name in self._services():
            self._take(ServerReflectionRequest(file_containing_symbol=name))
        while missing := self._missing():
            for file in missing:
                if file not in self._files:
                    self._keep(FileDescriptorProto(name=file))  # asked once, even if it is not known
                self._take(ServerReflectionRequest(file_by_filename=file))
        return FileDescriptorSet(file=list(self._sorted())).SerializeToString() if self._files else b""

    def _services(self) -> list[str]:
        answer = self._ask(ServerReflectionRequest(list_services=""))
        listed = answer.list_services_response if answer else None
        names = [service.name for service in listed.service] if listed else []
        own = list(dict.fromkeys(name for name in names if not name.startswith("grpc.")))
        self._require(len(own) <= interfaces.MOST_SERVICES, f"of more than {interfaces.MOST_SERVICES} gRPC services")
        return own

    def _missing(self) -> set[str]:
        return {name for file in self._files.values() for name in file.dependency} - self._files.keys()

    def _take(self, question: ServerReflectionRequest) -> None:
        answer = self._ask(question)
        found = answer.file_descriptor_response if answer else None
        for content in found.file_descriptor_proto if found else ():
            is_moderate = interfaces.has_few_parts(content, FileDescriptorProto)
            self._require(is_moderate, f"of more than {interfaces.MOST_PARTS} parts")
            self._keep(FileDescriptorProto.FromString(content))

    def _keep(self, file: FileDescriptorProto) -> None:
        known = self._files.get(file.name)
        self._kept_bytes += file.ByteSize() - (known.ByteSize() if known else 0)
        self._files[file.name] = file
        self._require(len(self._files) <= interfaces.MOST_FILES, f"of more than {interfaces.MOST_FILES} files")
        is_small = self._kept_bytes <= interfaces.LARGEST_BYTES
        self._require(is_small, f"of more than {interfaces.LARGEST_BYTES >> 10} KiB")

    def _ask(self, question: ServerReflectionRequest) -> ServerReflectionResponse | None:
        """The answer to one question: a server that sends more than that is not heard out."""
        schema = _schema()
        sent = schema.dump(question, ServerReflectionRequest).SerializeToString()
        self._require(time.monotonic() < self._deadline, f"that took longer than {PATIENCE_S:g} s")
        replies = self._call(iter([sent]), timeout=TIMEOUT_S)
        try:
            reply: bytes | None = next(iter(replies), None)
        except grpc.RpcError as error:
            too_large = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            self._require(not too_large, f"of more than {LARGEST_ANSWER_BYTES >> 10} KiB in one answer")
            raise
        finally:
            replies.cancel()  # type: ignore[no-untyped-call]
        if reply is None:
            return None
        self._heard_bytes += len(reply)
        limit = f"of more than {LARGEST_ANSWERS_BYTES >> 20} MiB in all answers"
        self._require(self._heard_bytes <= LARGEST_ANSWERS_BYTES, limit)
        kind = schema.message_class(ServerReflectionResponse)
        is_moderate = interfaces.has_few_parts(reply, kind)
        self._require(is_moderate, f"of more than {interfaces.MOST_PARTS} parts")
        loaded: ServerReflectionResponse = schema.load(ServerReflectionResponse, kind.FromString(reply))
        return loaded

    def _require(self, is_so: bool, limit: str) -> None:
        if not is_so:
            raise Excessive(f"its reflection told {limit}")

    def _sorted(self) -> Iterator[FileDescriptorProto]:
        waiting = dict(self._files)
        while waiting:
            free = [name for name, file in waiting.items() if waiting.keys().isdisjoint(file.dependency)]
            for name in free or list(waiting):
                yield waiting.pop(name)
