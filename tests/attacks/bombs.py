"""Descriptors that are small to send and large to expand."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet


def _file(package: str = "bomb") -> FileDescriptorProto:
    file = FileDescriptorProto(name=f"{package[:50]}.proto", package=package, syntax="proto3")
    file.message_type.add(name="M")
    return file


def _service(file: FileDescriptorProto, name: str, methods: int, method: str = "M{}") -> None:
    service = file.service.add(name=name)
    of = f".{file.package}.M"
    for number in range(methods):
        service.method.add(name=method.format(number), input_type=of, output_type=of)


def _set(*files: FileDescriptorProto) -> bytes:
    return FileDescriptorSet(file=files).SerializeToString()


def long_names(letters: int = 60_000, methods: int = 1_000) -> bytes:
    """One service with a long name: each method's paths repeat it some dozens of times."""
    file = _file()
    _service(file, "S" + "a" * letters, methods)
    return _set(file)


def long_methods(letters: int = 2_000, methods: int = 100) -> bytes:
    """Long names of methods."""
    file = _file()
    _service(file, "S", methods, "M" + "aB" * (letters // 2) + "{}")
    return _set(file)


def long_package(letters: int = 60_000, methods: int = 900) -> bytes:
    """A long package: everything's full name begins with it."""
    file = _file("p" * letters)
    _service(file, "S", methods)
    return _set(file)


def many_services(services: int = 5_000) -> bytes:
    """Many services of one method: each has an entry in its namespace's index."""
    file = _file()
    for number in range(services):
        _service(file, f"S{number}", 1)
    return _set(file)


def own_type(fields: int = 22, methods: int = 1) -> bytes:
    """A message whose every field is of its own type: each level of its tree is that much wider."""
    file = _file()
    for number in range(1, fields + 1):
        file.message_type[0].field.add(
            name=f"f{number}",
            number=number,
            type=Field.TYPE_MESSAGE,
            label=Field.LABEL_OPTIONAL,
            type_name=f".{file.package}.M",
        )
    _service(file, "S", methods)
    return _set(file)


def empty_messages(size_bytes: int = 1_000_000) -> bytes:
    """Nothing but empty files, each of two bytes: a parser makes an object of each."""
    return b"\x0a\x00" * (size_bytes // 2)


def import_chain(files: int = 5_000) -> bytes:
    """Files that import each other in a long row."""
    made = [_file() for _ in range(files)]
    for number, file in enumerate(made):
        file.name, file.package = f"f{number}.proto", f"p{number}"
        if number:
            file.dependency.append(f"f{number - 1}.proto")
    _service(made[-1], "S", 1)
    return _set(*made)


def nested(depth: int = 90, name: int = 200) -> bytes:
    """Messages in messages, whose full names grow with each level."""
    file = _file()
    inner = file.message_type[0]
    for _ in range(depth):
        inner = inner.nested_type.add(name="N" * name)
        for number in range(1, 20):
            inner.field.add(name=f"f{number}", number=number, type=Field.TYPE_BOOL, label=Field.LABEL_OPTIONAL)
    _service(file, "S", 1)
    return _set(file)


BOMBS = {
    "long names": long_names,
    "long methods": long_methods,
    "a long package": long_package,
    "many services": many_services,
    "its own type": own_type,
    "empty messages": empty_messages,
    "a chain of imports": import_chain,
    "nested messages": nested,
}
