"""The descriptors of the platform's own gRPC services, which the sidecar answers for."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from google.protobuf import descriptor_pb2


@cache
def descriptor_set(package: str) -> bytes:
    """The FileDescriptorSet of one of the packages in `micro.proto`, with what it imports."""
    module = import_module(f"micro.proto.{package}_pb2")
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(descriptor: object) -> None:
        proto = descriptor_pb2.FileDescriptorProto()
        descriptor.CopyToProto(proto)  # type: ignore[attr-defined]
        if proto.name not in files:
            for dependency in descriptor.dependencies:  # type: ignore[attr-defined]
                add(dependency)
            files[proto.name] = proto

    add(module.DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)
