"""Whatever descriptors a tenant registers: they are described, in bounded time and memory, or they are not."""

from __future__ import annotations

import random
import sys
import tracemalloc
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from micro import interfaces
from primitives.registry.descriptions import LARGEST_TREES_BYTES, describe
from primitives.registry.reflection import _link

sys.path.append(str(Path(__file__).parents[2] / "attacks"))

from bombs import BOMBS, own_type

EXAMPLES = 150


def any_file(chance: random.Random) -> FileDescriptorProto:
    """A file of messages that refer to each other as they like, and of a service of them."""
    package = chance.choice(["", "a", "a.b", "x" * 100])
    file = FileDescriptorProto(name=f"{chance.random()}.proto", package=package, syntax="proto3")
    names = [f"M{number}" for number in range(chance.randint(1, 12))]
    for name in names:
        message = file.message_type.add(name=name)
        for number in range(1, chance.choice([2, 5, 40, 300])):
            message.field.add(
                name=f"f{number}" * chance.choice([1, 1, 20]),
                number=number,
                label=chance.choice([Field.LABEL_OPTIONAL, Field.LABEL_OPTIONAL, Field.LABEL_REPEATED]),
                type=Field.TYPE_MESSAGE,
                type_name=f".{package}.{chance.choice([*names, 'Gone'])}".replace("..", "."),
            )
        message.options.map_entry = chance.random() < 0.1
    service = file.service.add(name="S")
    for number in range(chance.choice([1, 10, 200])):
        of = f".{package}.{chance.choice(names)}".replace("..", ".")
        service.method.add(name=f"M{number}", input_type=of, output_type=of)
    return file


def test_messages_that_refer_to_each_other_make_trees_of_a_bounded_size():
    chance = random.Random(3)  # noqa: S311 - the same descriptors in every run
    for _ in range(EXAMPLES):
        content = FileDescriptorSet(file=[any_file(chance) for _ in range(chance.randint(1, 3))]).SerializeToString()
        described = describe(content)
        size_bytes = sum(endpoint.ByteSize() for endpoint in described.endpoints)
        assert size_bytes <= LARGEST_TREES_BYTES + 200 * len(described.endpoints)
        _link(content)


def test_garbled_descriptors_are_described_and_linked_or_not():
    chance = random.Random(4)  # noqa: S311 - the same bytes in every run
    good = FileDescriptorSet(file=[any_file(random.Random(1))]).SerializeToString()  # noqa: S311
    for _ in range(4 * EXAMPLES):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 10)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        describe(bytes(bad))
        _link(bytes(bad))


@pytest.mark.parametrize("bomb", [name for name in BOMBS if name != "a long package"])
def test_a_bomb_of_a_server_before_is_described_in_little_memory(bomb):
    content = BOMBS[bomb]()
    tracemalloc.start()
    describe(content)
    _link(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30 << 20


def test_each_level_of_a_tree_is_there_whole_or_not_at_all():
    (endpoint,) = describe(own_type(fields=22)).endpoints
    level, depth = [endpoint.request], 0
    while level := [child for value in level for child in value.values]:
        depth += 1
        assert len(level) == 22**depth
    assert depth == 2


def test_descriptors_at_every_limit_are_still_taken():
    assert interfaces.find_fault(own_type(fields=100, methods=interfaces.MOST_METHODS)) == ""
