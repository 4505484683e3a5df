"""How much a service may tell of itself. Descriptors are judged here before anybody builds something from them.

A few bytes of them may stand for a lot: a parser makes an object of every part, a name is repeated in the full name of
all that it holds, and the gateway writes a gRPC service's name into some dozens of paths of each of its methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError, Message

LARGEST_BYTES = 1 << 20  # of a FileDescriptorSet
MOST_PARTS = 100_000  # fields of its wire format, in all its messages: each costs a parser up to some 200 bytes
MOST_FILES = 500
MOST_SERVICES = 200
MOST_METHODS = 1000
LONGEST_NAME = 255  # of a package, and of a message, field, service or method without what is around it
LARGEST_NAMES_BYTES = 4 << 20  # all full names together
LARGEST_PATHS_BYTES = 8 << 20  # all paths that lead to methods
LINKED_COST = 12  # times its descriptors without comments weighs what is linked of them, as much as paths weigh
SERVICE_BYTES = 2 << 10  # that a gRPC service's own route and its entry in an index take
PATH_BYTES = 64  # that a path takes besides its words
PATHS_OF_A_METHOD = 52  # that the gateway makes at most: in three spellings, by GET and by POST

_Fields: TypeAlias = dict[int, "_Fields"]


def find_fault(descriptors: bytes) -> str:
    """Return why a serialized FileDescriptorSet must not be expanded, as half a sentence; blank when it may be."""
    if len(descriptors) > LARGEST_BYTES:
        return f"they are larger than {LARGEST_BYTES >> 10} KiB"
    if not has_few_parts(descriptors, FileDescriptorSet):
        return f"they have more than {MOST_PARTS} parts"
    try:
        files = FileDescriptorSet.FromString(descriptors).file
        return _fault_of_counts(files) or _fault_of_names(files)
    except DecodeError:
        return "they are no FileDescriptorSet"


def expanded_bytes(descriptors: bytes) -> int:
    """Return about how many bytes the gateway makes of a FileDescriptorSet in which there is no fault.

    Envoy takes some four times as much.
    """
    files = FileDescriptorSet.FromString(descriptors).file
    services = sum(len(file.service) for file in files)
    linked_bytes = LINKED_COST * sum(file.ByteSize() - file.source_code_info.ByteSize() for file in files)
    return len(descriptors) + linked_bytes + services * SERVICE_BYTES + sum(map(_paths_bytes, files))


def warning(fault: str) -> str:
    """Return the sentence that tells the owner of a service of a fault in its descriptors."""
    return f"Its descriptors are not used, as {fault}: JSON goes to it in frames, and its commands have no help."


def _fault_of_counts(files: Iterable[FileDescriptorProto]) -> str:
    services = [service for file in files for service in file.service]
    counted = (
        (sum(1 for _ in files), MOST_FILES, "files"),
        (len(services), MOST_SERVICES, "gRPC services"),
        (sum(len(service.method) for service in services), MOST_METHODS, "methods"),
    )
    return next((f"they hold more than {most} {noun}" for count, most, noun in counted if count > most), "")


def _fault_of_names(files: Iterable[FileDescriptorProto]) -> str:
    names_bytes = paths_bytes = 0
    for file in files:
        for name, full_bytes in ((file.package, len(file.package)), *_names(file)):
            if not isinstance(name, str):  # protobuf has bytes for what is no UTF-8
                return "they hold a name that is no text"
            if len(name) > LONGEST_NAME:
                return f"the name {name[:40]!r}… has more than {LONGEST_NAME} characters"
            names_bytes += full_bytes
        paths_bytes += _paths_bytes(file)
    if names_bytes > LARGEST_NAMES_BYTES:
        return f"their full names have more than {LARGEST_NAMES_BYTES >> 20} MiB together"
    if paths_bytes > LARGEST_PATHS_BYTES:
        return f"the paths of their methods have more than {LARGEST_PATHS_BYTES >> 20} MiB together"
    return ""


def _paths_bytes(file: FileDescriptorProto) -> int:
    return sum(
        PATHS_OF_A_METHOD * (PATH_BYTES + len(file.package) + len(service.name) + len(method.name))
        for service in file.service
        for method in service.method
    )


def _names(file: FileDescriptorProto) -> Iterator[tuple[str, int]]:
    """The name of each part of a file, and how many characters its full name has."""
    scope = len(file.package)
    for service in file.service:
        yield service.name, scope + len(service.name)
        yield from ((method.name, scope + len(service.name) + len(method.name)) for method in service.method)
    yield from _names_of_enums(file.enum_type, scope)
    yield from ((extension.name, scope + len(extension.name)) for extension in file.extension)
    waiting = [(message, scope) for message in file.message_type]
    while waiting:
        message, around = waiting.pop()
        inside = around + len(message.name) + 1
        yield message.name, inside
        yield from _names_in(message, inside)
        waiting.extend((inner, inside) for inner in message.nested_type)


def _names_in(message: DescriptorProto, scope: int) -> Iterator[tuple[str, int]]:
    names = [part.name for parts in (message.field, message.extension) for part in parts]
    names += [oneof.name for oneof in message.oneof_decl]
    yield from ((name, scope + len(name)) for name in names)
    yield from _names_of_enums(message.enum_type, scope)


def _names_of_enums(enums: Iterable[EnumDescriptorProto], scope: int) -> Iterator[tuple[str, int]]:
    for enum in enums:
        yield enum.name, scope + len(enum.name)
        yield from ((value.name, scope + len(value.name)) for value in enum.value)


# The parts of a message are counted in its bytes, before a parser makes something of each.


def has_few_parts(content: bytes, kind: type[Message], most: int = MOST_PARTS) -> bool:
    """Whether a serialized message of `kind` has no more than so many parts; what is malformed ends where it is so.

    That takes about a second for 500,000 of them.
    """
    if len(content) // 2 <= most:
        return True
    left = most
    waiting = [(0, len(content), _fields(kind.DESCRIPTOR))]
    while waiting:
        at, end, fields = waiting.pop()
        while at < end:
            left -= 1
            if left < 0:
                return False
            tag = content[at]
            at += 1
            if tag > 0x7F:  # a tag of more bytes than one, as few have
                tag, at = _varint(content, at - 1, end)
            length, at = _extent(tag & 7, content, at, end)
            if at + length > end:
                break
            if length and tag & 7 == 2 and (inner := fields.get(tag >> 3)) is not None:
                waiting.append((at, at + length, inner))
            at += length
    return True


def _extent(wire_type: int, content: bytes, at: int, end: int) -> tuple[int, int]:
    """How long a field's content is, and where it begins."""
    if wire_type == 2:
        return (content[at], at + 1) if at < end and content[at] < 0x80 else _varint(content, at, end)
    if wire_type == 0:
        return 0, (at + 1 if at < end and content[at] < 0x80 else _varint(content, at, end)[1])
    return {1: 8, 5: 4}.get(wire_type, 0), at


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at a place, and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, at


def _fields(descriptor: Any) -> _Fields:
    """The fields of a message that hold messages, by their numbers."""
    if descriptor.full_name not in _known:
        fields = _known[descriptor.full_name] = {}
        for field in descriptor.fields:
            if field.message_type is not None:
                fields[field.number] = _fields(field.message_type)
    return _known[descriptor.full_name]


_HTTP_RULE: _Fields = {8: {}}  # google.api.HttpRule, whose `additional_bindings` are rules again
_HTTP_RULE[11] = _HTTP_RULE
_known: dict[str, _Fields] = {"google.protobuf.MethodOptions": {72295728: _HTTP_RULE, 999: {2: {}}}}
