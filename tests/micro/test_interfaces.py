"""Descriptors are judged by what they would become, before they become it."""

from __future__ import annotations

import random
import sys
import tracemalloc
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from micro import interfaces
from micro.proto import auth_pb2, registry_pb2, runtime_pb2, store_pb2

sys.path.append(str(Path(__file__).parents[1] / "attacks"))

from bombs import BOMBS, own_type

OURS = (auth_pb2, registry_pb2, runtime_pb2, store_pb2)


def set_of(*modules: object) -> bytes:
    files = FileDescriptorSet()
    for module in modules:
        module.DESCRIPTOR.CopyToProto(files.file.add())  # type: ignore[attr-defined]
    return files.SerializeToString()


def test_ordinary_descriptors_have_no_fault():
    assert interfaces.find_fault(set_of(*OURS)) == ""
    assert interfaces.find_fault(b"") == ""
    assert interfaces.find_fault(own_type(fields=20, methods=300)) == ""


@pytest.mark.parametrize("bomb", [name for name in BOMBS if name != "its own type"])
def test_a_bomb_is_found_in_little_memory(bomb):
    descriptors = BOMBS[bomb]() if bomb != "a long package" else BOMBS[bomb](letters=5_000, methods=100)
    tracemalloc.start()
    fault = interfaces.find_fault(descriptors)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fault, "it is one"
    assert most < 20 << 20


def test_parts_are_counted_as_the_parser_finds_them():
    file = FileDescriptorProto()
    for _ in range(1000):
        file.message_type.add().field.add(name="a", number=1)  # two messages with two fields, and 4 headers: 2 + 2
    content = FileDescriptorSet(file=[file]).SerializeToString()
    assert interfaces.has_few_parts(content, FileDescriptorSet, most=1 + 4 * 1000)
    assert not interfaces.has_few_parts(content, FileDescriptorSet, most=4 * 1000)


def test_the_bindings_of_an_author_are_parts_too():
    rules = b"\x5a\x00" * 60_000  # additional_bindings, blank
    options = b"\x82\xd3\xe4\x93\x02" + bytes(
        [0x80 | len(rules) & 0x7F, 0x80 | len(rules) >> 7 & 0x7F, len(rules) >> 14]
    )
    method = field(4, options + rules)
    content = field(1, field(6, field(2, method)))
    assert not interfaces.has_few_parts(content, FileDescriptorSet, most=50_000)


def test_a_name_that_is_no_text_is_a_fault():
    assert "no text" in interfaces.find_fault(field(1, field(2, b"\xff\xfe")))


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of the wire."""
    length, size = len(content), b""
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def test_whatever_the_bytes_are_they_are_judged_without_a_stumble():
    good, chance = bytearray(set_of(*OURS)), random.Random(11)  # noqa: S311 - the same bytes in every run
    for _ in range(500):
        bad = bytearray(good[: chance.randrange(len(good))])
        for _ in range(chance.randint(0, 8)):
            bad[chance.randrange(len(bad) or 1) :][:1] = bytes([chance.randrange(256)])
        for _ in range(chance.randint(1, 6)):
            if bad:
                bad[chance.randrange(len(bad))] = chance.randrange(256)
        assert isinstance(interfaces.find_fault(bytes(bad)), str)
        noise = chance.randbytes(chance.randrange(400_000))
        assert isinstance(interfaces.has_few_parts(noise, FileDescriptorSet, most=1000), bool)
