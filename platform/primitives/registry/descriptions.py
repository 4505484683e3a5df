"""From descriptors to what the registry says of a service: endpoints, with trees of what they take and return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from micro import comments
from micro.proto import registry_pb2
from transport.methods import Methods

MAX_DEPTH = 5
TYPES = {
    FieldDescriptorProto.TYPE_DOUBLE: "float64",
    FieldDescriptorProto.TYPE_FLOAT: "float32",
    FieldDescriptorProto.TYPE_INT64: "int64",
    FieldDescriptorProto.TYPE_SINT64: "int64",
    FieldDescriptorProto.TYPE_SFIXED64: "int64",
    FieldDescriptorProto.TYPE_UINT64: "uint64",
    FieldDescriptorProto.TYPE_FIXED64: "uint64",
    FieldDescriptorProto.TYPE_INT32: "int32",
    FieldDescriptorProto.TYPE_SINT32: "int32",
    FieldDescriptorProto.TYPE_SFIXED32: "int32",
    FieldDescriptorProto.TYPE_UINT32: "uint32",
    FieldDescriptorProto.TYPE_FIXED32: "uint32",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_BYTES: "[]uint8",
}


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a service: its serialized FileDescriptorSet, and its endpoints in the order of their names."""

    descriptors: bytes = b""
    endpoints: tuple[registry_pb2.Endpoint, ...] = ()


def describe(descriptors: bytes) -> Description:
    """The endpoints of every service in a serialized FileDescriptorSet but gRPC's own."""
    files = FileDescriptorSet.FromString(descriptors).file
    messages = {name: message for file in files for name, message in _messages(file.package, file.message_type)}
    endpoints = [
        _endpoint(service.name, method, messages)
        for file in files
        if not file.package.startswith("grpc.")
        for service in file.service
        for method in service.method
    ]
    return Description(descriptors, tuple(sorted(endpoints, key=lambda endpoint: endpoint.name)))


def describe_methods(methods: Methods) -> Description:
    """The same for a table of our own methods, with the comments of their protos, and only the table's endpoints."""
    files: dict[str, FileDescriptorProto] = {}
    for method in methods.values():
        _add_file(method.request.DESCRIPTOR.file, files)
    described = comments.carried(FileDescriptorSet(file=files.values()), comments.ours())
    whole = describe(described.SerializeToString(deterministic=True))
    return Description(whole.descriptors, tuple(endpoint for endpoint in whole.endpoints if endpoint.name in methods))


def _add_file(file: Any, files: dict[str, FileDescriptorProto]) -> None:
    if file.name not in files:
        for dependency in file.dependencies:
            _add_file(dependency, files)
        files[file.name] = FileDescriptorProto.FromString(file.serialized_pb)


def _messages(scope: str, messages: Iterable[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    """Every message by its full name with a leading dot, as fields refer to it."""
    for message in messages:
        name = f"{scope}.{message.name}" if scope else message.name
        yield f".{name}", message
        yield from _messages(name, message.nested_type)


def _endpoint(
    service: str, method: MethodDescriptorProto, messages: Mapping[str, DescriptorProto]
) -> registry_pb2.Endpoint:
    is_stream = method.client_streaming or method.server_streaming
    return registry_pb2.Endpoint(
        name=f"{service}.{method.name}",
        request=_root(method.input_type, messages),
        response=_root(method.output_type, messages),
        metadata={"stream": "true"} if is_stream else {},
    )


def _root(type_name: str, messages: Mapping[str, DescriptorProto]) -> registry_pb2.Value:
    name = type_name.rpartition(".")[2]
    return registry_pb2.Value(name=name, type=name, values=_values(messages.get(type_name), messages, depth=1))


def _values(
    message: DescriptorProto | None, messages: Mapping[str, DescriptorProto], *, depth: int
) -> list[registry_pb2.Value]:
    if message is None or depth > MAX_DEPTH:
        return []
    return [_value(field, messages, depth) for field in message.field]


def _value(field: FieldDescriptorProto, messages: Mapping[str, DescriptorProto], depth: int) -> registry_pb2.Value:
    """A field by Go's name for its type, as Micro's clients expect it; lists and maps have no children."""
    message = messages.get(field.type_name)
    if message is not None and message.options.map_entry:
        key, value = (_type(entry) for entry in message.field)
        return registry_pb2.Value(name=field.name, type=f"map[{key}]{value}")
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return registry_pb2.Value(name=field.name, type=f"[]{_type(field)}")
    return registry_pb2.Value(name=field.name, type=_type(field), values=_values(message, messages, depth=depth + 1))


def _type(field: FieldDescriptorProto) -> str:
    return TYPES.get(field.type) or field.type_name.rpartition(".")[2]
