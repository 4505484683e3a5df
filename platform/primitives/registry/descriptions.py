"""From descriptors to what the registry says of a service: endpoints, with trees of what they take and return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from micro import comments, interfaces
from micro.proto import registry_pb2
from transport.methods import Methods

MAX_DEPTH = 5
LARGEST_TREE_BYTES, LARGEST_TREES_BYTES = 64 << 10, 1 << 20  # of one message, and of all of a service
VALUE_BYTES = 64  # that a value takes besides its words
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
    """The endpoints of every service in a serialized FileDescriptorSet but gRPC's own; none in one that is excessive.

    Trees of messages end where they become too large, at a whole level.
    """
    if interfaces.find_fault(descriptors):
        return Description()
    try:
        return Description(descriptors, _endpoints(FileDescriptorSet.FromString(descriptors).file))
    except (TypeError, ValueError):  # protobuf has bytes for a string that is no UTF-8
        return Description()


def _endpoints(files: Sequence[FileDescriptorProto]) -> tuple[registry_pb2.Endpoint, ...]:
    trees = _Trees({name: message for file in files for name, message in _messages(file.package, file.message_type)})
    endpoints = [
        _endpoint(service.name, method, trees)
        for file in files
        if not file.package.startswith("grpc.")
        for service in file.service
        for method in service.method
    ]
    return tuple(sorted(endpoints, key=lambda endpoint: endpoint.name))


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


def _endpoint(service: str, method: MethodDescriptorProto, trees: _Trees) -> registry_pb2.Endpoint:
    is_stream = method.client_streaming or method.server_streaming
    return registry_pb2.Endpoint(
        name=f"{service}.{method.name}",
        request=trees.grow(method.input_type),
        response=trees.grow(method.output_type),
        metadata={"stream": "true"} if is_stream else {},
    )


class _Trees:
    """The value trees of one service's messages, which share what may be spent on them."""

    def __init__(self, messages: Mapping[str, DescriptorProto]) -> None:
        self._messages = messages
        self._left_bytes = LARGEST_TREES_BYTES
        self._costs: dict[str, int] = {}

    def grow(self, type_name: str) -> registry_pb2.Value:
        """The tree of a message, level by level: a message of its own type would be as wide again on each."""
        name = type_name.rpartition(".")[2]
        root = registry_pb2.Value(name=name, type=name)
        level = [(root, type_name)] if type_name in self._messages else []
        left_bytes = min(self._left_bytes, LARGEST_TREE_BYTES)
        for _ in range(MAX_DEPTH):
            cost_bytes = sum(self._cost(inner) for _, inner in level)
            if cost_bytes > left_bytes:
                break
            left_bytes -= cost_bytes
            self._left_bytes -= cost_bytes
            level = [found for value, inner in level for found in self._add_fields(value, self._messages[inner])]
        return root

    def _cost(self, type_name: str) -> int:
        """About how many bytes the fields of a message take as values."""
        if type_name not in self._costs:
            fields = self._messages[type_name].field
            self._costs[type_name] = sum(VALUE_BYTES + len(field.name) + len(self._type(field)) for field in fields)
        return self._costs[type_name]

    def _add_fields(
        self, value: registry_pb2.Value, message: DescriptorProto
    ) -> Iterator[tuple[registry_pb2.Value, str]]:
        """Add the fields of a message to its value; those that have fields themselves, with their types."""
        for field in message.field:
            added = value.values.add(name=field.name, type=self._type(field))
            if self._has_fields(field):
                yield added, field.type_name

    def _type(self, field: FieldDescriptorProto) -> str:
        """A field's type by Go's name for it, as Micro's clients expect it."""
        message = self._messages.get(field.type_name)
        if message is not None and message.options.map_entry:
            types = {entry.number: _type(entry) for entry in message.field}
            return f"map[{types.get(1, '')}]{types.get(2, '')}"
        return f"[]{_type(field)}" if field.label == FieldDescriptorProto.LABEL_REPEATED else _type(field)

    def _has_fields(self, field: FieldDescriptorProto) -> bool:
        """Whether a field holds one message; lists and maps have no children."""
        message = self._messages.get(field.type_name)
        is_list = field.label == FieldDescriptorProto.LABEL_REPEATED
        return message is not None and not is_list and not message.options.map_entry


def _type(field: FieldDescriptorProto) -> str:
    return TYPES.get(field.type) or field.type_name.rpartition(".")[2]
