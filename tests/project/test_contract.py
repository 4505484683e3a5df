"""Our messages and methods against those of Micro 3's released module, number by number."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Iterable, Iterator

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from project.sidecar import Sidecar
from tests.micro3.build import build
from transport.database import dsn

PACKAGES = (
    "api", "auth", "broker", "client", "config", "debug", "errors",
    "events", "network", "registry", "router", "runtime", "store",
)  # fmt: skip
OURS_FROM = 100  # the first number of a field that Micro 3 does not have
NOBODY_SERVES = {"client.Client"}  # a client's own side, defined and never mounted


@pytest.fixture(scope="module")
def theirs() -> dict[str, FileDescriptorProto]:
    printed = subprocess.run([build() / "contract"], check=True, capture_output=True).stdout
    files = {file.package: file for file in FileDescriptorSet.FromString(printed).file}
    return {package: files[package] for package in PACKAGES}


def ours(package: str) -> FileDescriptorProto:
    module = importlib.import_module(f"micro.proto.{package}_pb2")
    return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def messages(inside: Iterable[DescriptorProto], scope: str = "") -> Iterator[tuple[str, DescriptorProto]]:
    for message in inside:
        yield f"{scope}{message.name}", message
        yield from messages(message.nested_type, f"{scope}{message.name}.")


def fields(message: DescriptorProto) -> dict[str, tuple[int, int, str, int]]:
    return {field.name: (field.number, field.type, field.type_name, field.label) for field in message.field}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_message_has_the_fields_numbers_and_types_of_micro_3(theirs, package):
    known = dict(messages(ours(package).message_type))
    for name, message in messages(theirs[package].message_type):
        assert name in known
        own, original = fields(known[name]), fields(message)
        assert {field: own.get(field) for field in original} == original, name
        assert all(fact[0] >= OURS_FROM for field, fact in own.items() if field not in original), name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_enum_and_method_too(theirs, package):
    enums = {enum.name: {value.name: value.number for value in enum.value} for enum in ours(package).enum_type}
    for enum in theirs[package].enum_type:
        assert enums[enum.name] == {value.name: value.number for value in enum.value}
    methods = {
        (service.name, method.name): (method.input_type, method.output_type, method.server_streaming)
        for service in ours(package).service
        for method in service.method
    }
    for service in theirs[package].service:
        for method in service.method:
            facts = (method.input_type, method.output_type, method.server_streaming)
            assert methods[service.name, method.name] == facts, f"{service.name}.{method.name}"


def test_every_method_of_micro_3_is_mounted(theirs):
    mounted = {
        f"{package}.{name}"
        for package, methods in Sidecar(index=0, database=dsn()).services.items()
        for name in methods
    }
    promised = {
        f"{package}.{service.name}.{method.name}"
        for package, file in theirs.items()
        for service in file.service
        for method in service.method
        if f"{package}.{service.name}" not in NOBODY_SERVES
    }
    assert promised - mounted == set()
