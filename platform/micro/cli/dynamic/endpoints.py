"""What a service's methods take: from its descriptors where the registry has some, else from its value trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, OneofDescriptor

    from micro.proto import registry_pb2

Said = Mapping[str, str]

# Messages that JSON writes as something else, by how they are typed here.
WELL_KNOWN = {
    "google.protobuf.Any": "json",
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.BytesValue": "bytes",
    "google.protobuf.DoubleValue": "float64",
    "google.protobuf.Duration": "duration",
    "google.protobuf.FieldMask": "paths",
    "google.protobuf.FloatValue": "float32",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.ListValue": "json",
    "google.protobuf.StringValue": "string",
    "google.protobuf.Struct": "json",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.UInt32Value": "uint32",
    "google.protobuf.UInt64Value": "uint64",
    "google.protobuf.Value": "json",
}
BYTES_IN_TREES = "[]uint8"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request.

    `type` is that of one value, named as Go names it; `inner` makes the fields of a message, which may contain itself.
    """

    name: str
    type: str
    is_list: bool = False
    key: str = ""  # the keys' type, when it is a map
    inner: Callable[[], tuple[Field, ...]] | None = None  # when it is a message
    members: Mapping[str, int] = field(default_factory=dict)  # when it is an enum
    comment: str = ""
    oneof: str = ""

    @property
    def shown(self) -> str:
        """The type as help shows it."""
        prefix = f"map[{self.key}]" if self.key else "[]" if self.is_list else ""
        return prefix + self.type

    @property
    def is_message(self) -> bool:
        """Whether it has fields of its own that flags can name."""
        return self.inner is not None and not self.is_list and not self.key

    def fields(self) -> tuple[Field, ...]:
        return self.inner() if self.inner else ()

    def one(self) -> Field:
        """One value of a list or a map."""
        return replace(self, is_list=False, key="", oneof="")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method, as `Handler.Method`."""

    name: str
    fields: tuple[Field, ...] = ()
    streams_in: bool = False
    streams_out: bool = False
    comment: str = ""
    about: str = ""  # its handler's comment


def endpoints_of(services: list[registry_pb2.Service]) -> list[Endpoint]:
    """The methods of a service by name, sorted."""
    from micro import comments
    from micro.client import methods_in

    described = next((service.descriptors for service in services if service.descriptors), b"")
    if described and (methods := methods_in(described)):
        from google.protobuf.descriptor_pb2 import FileDescriptorSet

        said = comments.of(FileDescriptorSet.FromString(described))
        return [_from_descriptor(name, method, said) for name, method in sorted(methods.items())]
    return [_from_tree(endpoint) for endpoint in services[0].endpoints]


# From trees.


def _from_tree(endpoint: registry_pb2.Endpoint) -> Endpoint:
    streams = endpoint.metadata.get("stream") == "true"
    return Endpoint(endpoint.name, tuple(map(_from_value, endpoint.request.values)), streams_out=streams)


def _from_value(value: registry_pb2.Value) -> Field:
    if value.type == BYTES_IN_TREES:
        return Field(value.name, "bytes")
    if value.type.startswith("map["):
        key, _, item = value.type.removeprefix("map[").partition("]")
        return Field(value.name, item, key=key)
    inner = (lambda: tuple(map(_from_value, value.values))) if value.values else None
    return Field(value.name, value.type.removeprefix("[]"), is_list=value.type.startswith("[]"), inner=inner)


# From descriptors.


def _from_descriptor(name: str, method: MethodDescriptor, said: Said) -> Endpoint:
    return Endpoint(
        name,
        tuple(_fields(method.input_type, said)),
        streams_in=method.client_streaming,
        streams_out=method.server_streaming,
        comment=said.get(method.full_name, ""),
        about=said.get(method.containing_service.full_name, ""),
    )


def _fields(message: Descriptor, said: Said) -> Iterator[Field]:
    for known in message.fields:
        comment, oneof = said.get(known.full_name, ""), _oneof(known.containing_oneof)
        yield replace(_typed(known, said), name=known.name, comment=comment, oneof=oneof)


def _oneof(oneof: OneofDescriptor | None) -> str:
    """Its name. An optional field is the only one of a oneof that nobody has written."""
    if oneof is None or (len(oneof.fields) == 1 and oneof.name == f"_{oneof.fields[0].name}"):
        return ""
    return oneof.name


def _typed(known: FieldDescriptor, said: Said) -> Field:
    entry = known.message_type
    if entry is not None and entry.GetOptions().map_entry:
        key, value = (_one(entry.fields_by_name[part], said) for part in ("key", "value"))
        return replace(value, key=key.type)
    return replace(_one(known, said), is_list=known.is_repeated)


def _one(known: FieldDescriptor, said: Said) -> Field:
    message, enum = known.message_type, known.enum_type
    if message is not None:
        if message.full_name in WELL_KNOWN:
            return Field(known.name, WELL_KNOWN[message.full_name])
        return Field(known.name, message.name, inner=lambda: tuple(_fields(message, said)))
    if enum is not None:
        # The framework wraps each enum into a message of its name.
        outer = enum.containing_type
        name = outer.name if outer is not None and enum.name == "Value" else enum.name
        return Field(known.name, name, members={value.name: value.number for value in enum.values})
    return Field(known.name, _scalar(known))


def _scalar(known: FieldDescriptor) -> str:
    """The type's name as Go has it."""
    names = {
        known.CPPTYPE_INT32: "int32",
        known.CPPTYPE_INT64: "int64",
        known.CPPTYPE_UINT32: "uint32",
        known.CPPTYPE_UINT64: "uint64",
        known.CPPTYPE_DOUBLE: "float64",
        known.CPPTYPE_FLOAT: "float32",
        known.CPPTYPE_BOOL: "bool",
    }
    if known.cpp_type in names:
        return names[known.cpp_type]
    return "bytes" if known.type == known.TYPE_BYTES else "string"
