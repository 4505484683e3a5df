"""Dataclasses as protobuf messages: descriptors made at run time, and values carried across.

`str int float bool bytes`, `list[T]`, `dict[K, T]`, `T | None`, enums and other dataclasses map to what protobuf has
for them; fields are numbered in their order, or by `field(metadata={"number": 7})`. A field whose default is not zero
is told apart from an absent one, so that its default means what it says.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from . import comments, docstrings
from .errors import InvalidArgument

FieldProto = descriptor_pb2.FieldDescriptorProto
MESSAGES, SERVICES, FIELDS, METHODS = 4, 6, 2, 2  # the numbers of these parts in a file, a message, a service
SCALARS = {
    str: FieldProto.TYPE_STRING,
    int: FieldProto.TYPE_INT64,
    float: FieldProto.TYPE_DOUBLE,
    bool: FieldProto.TYPE_BOOL,
    bytes: FieldProto.TYPE_BYTES,
}
ZEROS: tuple[object, ...] = ("", 0, 0.0, False, b"")
MAP_KEYS = (str, int, bool)


class Mistake(TypeError):
    """A handler or one of its dataclasses cannot be served; the sentence says which, and what would do."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One field of a dataclass: its own type `kind`, and how often it occurs."""

    name: str
    kind: type
    repeated: bool = False
    key: type | None = None  # of a map
    present: bool = False  # an absent value differs from zero
    nullable: bool = False  # None stands for absent
    defaulted: bool = False  # the dataclass says what an absent value is

    @property
    def is_map(self) -> bool:
        return self.key is not None


class Schema:
    """The messages and services of one proto package. Add to it, then `build`, then carry values across."""

    def __init__(self, package: str) -> None:
        self.file = descriptor_pb2.FileDescriptorProto(
            name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3"
        )
        self._names: dict[type, str] = {}
        self._shapes: dict[type, list[Shape]] = {}
        self._pool = descriptor_pool.DescriptorPool()
        self._classes: dict[type, type[Message]] = {}

    def add_service(
        self, name: str, methods: dict[str, tuple[type, type, bool, bool]], said: Mapping[str, str] | None = None
    ) -> str:
        """A service of methods: request, response, whether each of them streams. Its full name.

        `said` are comments: of the methods by name, and of the service under a blank one.
        """
        path = (SERVICES, len(self.file.service))
        for number, method in enumerate(methods):
            comments.put(self.file, (*path, METHODS, number), (said or {}).get(method, ""))
        comments.put(self.file, path, (said or {}).get("", ""))
        service = self.file.service.add(name=name)
        for method, (request, response, streams_in, streams_out) in methods.items():
            service.method.add(
                name=method,
                input_type=self._type_name(request),
                output_type=self._type_name(response),
                client_streaming=streams_in,
                server_streaming=streams_out,
            )
        return f"{self.file.package}.{name}"

    def build(self) -> FileDescriptor:
        """Close the schema: from here on values can be carried across."""
        try:
            self._pool.Add(self.file)
            built = self._pool.FindFileByName(self.file.name)
        except TypeError as error:
            raise Mistake(f"These handlers make no protobuf schema: {error}") from None
        for kind, name in self._names.items():
            if not issubclass(kind, Enum):
                descriptor = self._pool.FindMessageTypeByName(name.removeprefix("."))
                self._classes[kind] = message_factory.GetMessageClass(descriptor)
        return built

    def service(self, full_name: str) -> ServiceDescriptor:
        return self._pool.FindServiceByName(full_name)

    def message_class(self, kind: type) -> type[Message]:
        return self._classes[kind]

    def load(self, kind: type, message: Message) -> Any:
        """A dataclass instance with the message's values; fields that are absent keep their defaults."""
        values = {}
        for shape in self._shapes[kind]:
            is_absent = shape.present and not message.HasField(shape.name)
            if is_absent and shape.defaulted:
                continue
            values[shape.name] = (
                None if is_absent and shape.nullable else self._loaded(shape, getattr(message, shape.name))
            )
        return kind(**values)

    def dump(self, instance: Any, kind: type) -> Message:
        """A message with the instance's values. Raises TypeError for an instance of something else."""
        if not isinstance(instance, kind):
            raise TypeError(f"expected a {kind.__qualname__}, got {type(instance).__qualname__}")
        message = self._classes[kind]()
        self._fill(message, instance, kind)
        return message

    # Describing.

    def _type_name(self, kind: type) -> str:
        if kind not in self._names:
            self._describe(kind)
        return self._names[kind]

    def _describe(self, kind: type) -> None:
        taken = {message.name for message in self.file.message_type}
        name = next(name for n in range(1, 1000) if (name := f"{kind.__name__}{n if n > 1 else ''}") not in taken)
        path = (MESSAGES, len(self.file.message_type))
        comments.put(self.file, path, docstrings.of_class(kind))
        message = self.file.message_type.add(name=name)
        if issubclass(kind, Enum):
            # Two enums may share a member's name, which protobuf allows only when each has a message around it.
            self._names[kind] = f".{self.file.package}.{name}.Value"
            _describe_enum(kind, message.enum_type.add(name="Value"))
            return
        self._names[kind] = f".{self.file.package}.{name}"
        self._shapes[kind] = shapes_of(kind)
        numbers, said = _numbers(kind), docstrings.of_fields(kind)
        for index, shape in enumerate(self._shapes[kind]):
            comments.put(self.file, (*path, FIELDS, index), said.get(shape.name, ""))
            self._describe_field(message, shape, numbers[shape.name])

    def _describe_field(self, message: descriptor_pb2.DescriptorProto, shape: Shape, number: int) -> None:
        field = message.field.add(name=shape.name, number=number, label=FieldProto.LABEL_OPTIONAL)
        if shape.is_map or shape.repeated:
            field.label = FieldProto.LABEL_REPEATED
        if shape.key is not None:
            entry = _entry(message, shape)
            self._set_type(entry.field.add(name="key", number=1, label=FieldProto.LABEL_OPTIONAL), shape.key)
            self._set_type(entry.field.add(name="value", number=2, label=FieldProto.LABEL_OPTIONAL), shape.kind)
            field.type, field.type_name = FieldProto.TYPE_MESSAGE, f"{self._path_of(message)}.{entry.name}"
            return
        self._set_type(field, shape.kind)
        if shape.present and field.type != FieldProto.TYPE_MESSAGE:
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{shape.name}")

    def _path_of(self, message: descriptor_pb2.DescriptorProto) -> str:
        return f".{self.file.package}.{message.name}"

    def _set_type(self, field: descriptor_pb2.FieldDescriptorProto, kind: type) -> None:
        if kind in SCALARS:
            field.type = SCALARS[kind]
            return
        field.type = FieldProto.TYPE_ENUM if issubclass(kind, Enum) else FieldProto.TYPE_MESSAGE
        field.type_name = self._type_name(kind)

    # Carrying values across.

    def _loaded(self, shape: Shape, value: Any) -> Any:
        load = self._loader(shape.kind)
        if shape.is_map:
            return {key: load(item) for key, item in value.items()}
        return [load(item) for item in value] if shape.repeated else load(value)

    def _loader(self, kind: type) -> Callable[[Any], Any]:
        if kind in SCALARS:
            return _same
        return partial(_member, kind) if issubclass(kind, Enum) else partial(self.load, kind)

    def _fill(self, message: Message, instance: Any, kind: type) -> None:
        for shape in self._shapes[kind]:
            value = getattr(instance, shape.name)
            if value is None and shape.nullable:
                continue
            try:
                self._put(message, shape, value)
            except (TypeError, ValueError, AttributeError) as error:
                raise TypeError(f"{kind.__qualname__}.{shape.name}: {error}") from None

    def _put(self, message: Message, shape: Shape, value: Any) -> None:
        there: Any = getattr(message, shape.name)
        if shape.is_map:
            for key, item in value.items():
                if is_dataclass(shape.kind):
                    there[key].CopyFrom(self.dump(item, shape.kind))
                else:
                    there[key] = _plain(item, shape.kind)
        elif shape.repeated:
            there.extend(self._dumped(item, shape.kind) for item in value)
        elif is_dataclass(shape.kind):
            there.CopyFrom(self.dump(value, shape.kind))
        else:
            setattr(message, shape.name, _plain(value, shape.kind))

    def _dumped(self, value: Any, kind: type) -> Any:
        return self.dump(value, kind) if is_dataclass(kind) else _plain(value, kind)


def shapes_of(kind: type) -> list[Shape]:
    """The fields of a dataclass as protobuf sees them. Raises Mistake for a type that protobuf has nothing for."""
    try:
        hints = typing.get_type_hints(kind)
    except NameError as error:
        raise Mistake(f"{kind.__qualname__}: {error}; define the types of its fields at module level.") from None
    return [_shape(kind, field, hints[field.name]) for field in fields(kind) if field.init]


def _shape(kind: type, field: Field[Any], hint: Any) -> Shape:
    hint, nullable = _without_none(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list and _is_supported(arguments[0]):
        return Shape(field.name, arguments[0], repeated=True, nullable=nullable)
    if origin is dict and arguments[0] in MAP_KEYS and _is_supported(arguments[1]):
        return Shape(field.name, arguments[1], key=arguments[0], nullable=nullable)
    if _is_supported(hint):
        defaulted = field.default is not MISSING or field.default_factory is not MISSING
        present = nullable or is_dataclass(hint) or _default_matters(field)
        return Shape(field.name, hint, present=present, nullable=nullable, defaulted=defaulted)
    raise Mistake(
        f"{kind.__qualname__}.{field.name}: protobuf has nothing for {hint!r}. Use str, int, float, bool, bytes, "
        "an Enum, a dataclass, list[T], dict[str, T] or T | None."
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [argument for argument in typing.get_args(hint) if argument is not types.NoneType]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


def _default_matters(field: Field[Any]) -> bool:
    return field.default_factory is not MISSING or (field.default is not MISSING and field.default not in ZEROS)


def _is_supported(hint: Any) -> bool:
    return isinstance(hint, type) and (hint in SCALARS or is_dataclass(hint) or issubclass(hint, Enum))


def _numbers(kind: type) -> dict[str, int]:
    given = {field.name: field.metadata.get("number") for field in fields(kind) if field.init}
    free = (number for number in range(1, 19000) if number not in given.values())
    return {name: number or next(free) for name, number in given.items()}


def _entry(message: descriptor_pb2.DescriptorProto, shape: Shape) -> descriptor_pb2.DescriptorProto:
    camel = "".join(part.capitalize() for part in shape.name.split("_"))
    entry = message.nested_type.add(name=f"{camel}Entry")
    entry.options.map_entry = True
    return entry


def _describe_enum(kind: type[Enum], proto: descriptor_pb2.EnumDescriptorProto) -> None:
    for name, number in sorted(_enum_numbers(kind).items(), key=lambda pair: pair[1] != 0):
        proto.value.add(name=name, number=number)


def _enum_numbers(kind: type[Enum]) -> dict[str, int]:
    """The members' own values when they are integers with a zero among them, as protobuf wants; else their order."""
    values = {member.name: member.value for member in kind}
    if all(type(value) is int for value in values.values()) and 0 in values.values():
        return values
    return {name: number for number, name in enumerate(values)}


def _member(kind: type[Enum], number: int) -> Enum:
    for name, own in _enum_numbers(kind).items():
        if own == number:
            return kind[name]
    raise InvalidArgument(f"{number} is no {kind.__name__}.")


def _plain(value: Any, kind: type) -> Any:
    return _enum_numbers(kind)[value.name] if issubclass(kind, Enum) else value


def _same(value: Any) -> Any:
    return value
