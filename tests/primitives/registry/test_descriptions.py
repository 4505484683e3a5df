from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2

from micro import comments
from micro.proto import auth_pb2, registry_pb2, runtime_pb2, store_pb2
from primitives.auth import rpc
from primitives.registry.descriptions import describe, describe_methods


def description_of(*modules):
    files = FileDescriptorSet()
    for module in modules:
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return describe(files.SerializeToString())


def tree(value):
    """A value tree as nested dicts: type by name, or the children."""
    return {child.name: tree(child) or child.type for child in value.values}


def test_endpoints_come_in_the_order_of_their_names_with_streams_marked():
    endpoints = description_of(runtime_pb2).endpoints
    names = [endpoint.name for endpoint in endpoints]
    assert names == sorted(names)
    assert {"Build.Read", "Runtime.Create", "Runtime.Logs", "Source.Upload"} <= set(names)
    assert [e.name for e in endpoints if e.metadata["stream"] == "true"] == [
        "Build.Read",
        "Runtime.Logs",
        "Source.Upload",
    ]


def test_types_are_named_as_micros_go_clients_name_them():
    endpoints = {endpoint.name: endpoint for endpoint in description_of(store_pb2, registry_pb2).endpoints}
    record = tree(endpoints["Store.Write"].request)["record"]
    assert record == {
        "key": "string",
        "value": "[]uint8",
        "expiry": "int64",
        "metadata": "map[string]Field",
        "version": "int64",
    }
    options = tree(endpoints["Store.Read"].request)["options"]
    assert (options["prefix"], options["limit"]) == ("bool", "uint64")
    register = endpoints["Registry.Register"].request
    assert (register.name, register.type) == ("Service", "Service")
    assert {value.name: value.type for value in register.values}["nodes"] == "[]Node"


def test_a_message_that_holds_itself_ends_somewhere():
    file = FileDescriptorProto(name="loop.proto", package="loop", syntax="proto3")
    message = file.message_type.add(name="Loop")
    message.field.add(
        name="again", number=1, type=Field.TYPE_MESSAGE, label=Field.LABEL_OPTIONAL, type_name=".loop.Loop"
    )
    service = file.service.add(name="Loop")
    service.method.add(name="Call", input_type=".loop.Loop", output_type=".loop.Loop")
    (endpoint,) = describe(FileDescriptorSet(file=[file]).SerializeToString()).endpoints
    depth, value = 0, endpoint.request
    while value.values:
        depth, value = depth + 1, value.values[0]
    assert depth == 5


def test_enums_and_absent_types_have_a_name_and_no_children():
    endpoints = description_of(auth_pb2).endpoints
    rule = next(tree(e.request)["rule"] for e in endpoints if e.name == "Rules.Create")
    assert rule["access"] == "Access"
    file = FileDescriptorProto(name="a.proto", package="a")
    file.service.add(name="A").method.add(name="Call", input_type=".b.Gone", output_type=".b.Gone")
    (endpoint,) = describe(FileDescriptorSet(file=[file]).SerializeToString()).endpoints
    assert (endpoint.request.type, list(endpoint.request.values)) == ("Gone", [])


def test_grpcs_own_services_are_not_endpoints():
    assert description_of(health_pb2).endpoints == ()


def test_a_table_of_methods_shows_only_what_it_holds():
    description = describe_methods(rpc.METHODS)
    assert [endpoint.name for endpoint in description.endpoints] == sorted(rpc.METHODS)
    files = FileDescriptorSet.FromString(description.descriptors).file
    assert [file.name for file in files] == ["micro/proto/auth.proto"]


def test_our_own_methods_bring_the_comments_of_their_protos():
    files = FileDescriptorSet.FromString(describe_methods(rpc.METHODS).descriptors)
    assert comments.of(files)["auth.ApiTokens"] == "What programs act by: see `micro tokens`. Ours."


@pytest.mark.parametrize("module", [auth_pb2, registry_pb2, runtime_pb2, store_pb2])
def test_the_descriptors_are_handed_on_unchanged(module):
    files = FileDescriptorSet()
    module.DESCRIPTOR.CopyToProto(files.file.add())
    assert FileDescriptorSet.FromString(description_of(module).descriptors) == files
