"""A service's descriptors and Micro's path table → the transcoder's configuration."""

from __future__ import annotations

from random import Random

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from gateway import descriptors
from gateway.descriptors import Unusable, service_names, spellings, transcoder
from gateway.platform_protos import descriptor_set

from . import backends


def bound(service: str, content: bytes) -> dict[str, set[str]]:
    """Which method each path means, by POST and by GET."""
    config = transcoder(service, content)
    found: dict[str, set[str]] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(config.proto_descriptor_bin).file:
        for handler in file.service:
            for method in handler.method:
                rule = method.options.Extensions[annotations_pb2.http]
                for each in (rule, *rule.additional_bindings):
                    verb = each.WhichOneof("pattern")
                    path = f"{verb} {getattr(each, verb)}"
                    assert path not in found, "a path that means two methods"
                    found[path] = f"{handler.name}.{method.name}"
    return found


@pytest.mark.parametrize(
    ("service", "path", "method"),
    [
        ("foo", "/foo", "Foo.Call"),
        ("foo", "/foo/bar", "Foo.Bar"),
        ("foo", "/foo/foo/bar", "Foo.Bar"),
        ("foo", "/foo/foo/baz-xyz", "Foo.BazXyz"),
        ("foo", "/foo/Foo/BazXyz", "Foo.BazXyz"),
        ("foo", "/foo/bazXyz", "Foo.BazXyz"),
        ("foo", "/foo.Foo/BazXyz", "Foo.BazXyz"),
        ("foo", "/pkg.Foo/BazXyz", "Foo.BazXyz"),
        ("foo", "/", "Foo.Call"),
        ("foo", "/bar", "Foo.Bar"),
        ("v1.foo", "/v1/foo/bar", "Foo.Bar"),
        ("v1.foo", "/v1/foo/foo/bar", "Foo.Bar"),
        ("a.foo", "/a/foo/foo/bar", "Foo.Bar"),
        ("a.foo", "/a/foo/bar", None),
        ("v1.a.foo", "/v1/a/foo/foo/bar", "Foo.Bar"),
        ("foo", "/other/bar", None),
    ],
)
def test_paths_mean_methods_by_post_and_by_get(service, path, method):
    found = bound(service, backends.descriptors("pkg", "Foo", methods=("Call", "Bar", "BazXyz")))
    assert found.get(f"post {path}") == method
    assert found.get(f"get {path}") == method


@pytest.mark.parametrize(
    ("service", "handlers", "path", "method"),
    [
        ("foo-bar", ("FooBar",), "/foo-bar", "FooBar.Call"),
        ("foo-bar", ("Foobar",), "/foo-bar", "Foobar.Call"),
        ("store", ("Other",), "/store/call", "Other.Call"),
        ("store", ("Store", "BlobStore"), "/store/call", "Store.Call"),
        ("store", ("One", "Two"), "/store/call", None),
        ("store", ("One", "Two"), "/store/two/call", "Two.Call"),
    ],
)
def test_a_path_without_a_handler_means_the_one_named_like_the_service_or_the_only_one(service, handlers, path, method):
    files = descriptor_pb2.FileDescriptorSet()
    for handler in handlers:
        files.MergeFromString(backends.descriptors(handler.lower(), handler, methods=("Call",)))
    assert bound(service, files.SerializeToString()).get(f"get {path}") == method


def test_what_the_author_has_bound_stays():
    files = descriptor_pb2.FileDescriptorSet.FromString(backends.descriptors("pkg", "Foo", methods=("Call", "Bar")))
    rule = files.file[0].service[0].method[1].options.Extensions[annotations_pb2.http]
    rule.get = "/foo"
    rule.additional_bindings.add(put="/v1/{name}", body="*")
    found = bound("foo", files.SerializeToString())
    assert found["get /foo"] == "Foo.Bar"
    assert found["post /foo"] == "Foo.Call"
    assert found["put /v1/{name}"] == "Foo.Bar"


def test_files_are_linked_in_the_order_of_their_imports_and_options_files_are_dropped():
    files = descriptor_pb2.FileDescriptorSet()
    late = files.file.add(name="z.proto", package="z", dependency=["a.proto", "google/api/annotations.proto"])
    late.message_type.add(name="In").field.add(name="m", number=1, type=11, label=1, type_name=".a.M")
    late.service.add(name="Z").method.add(name="Call", input_type=".z.In", output_type=".a.M")
    for proto in ("google/api/annotations.proto", "google/protobuf/descriptor.proto", "google/api/http.proto"):
        files.file.add(name=proto)
    files.file.add(name="a.proto", package="a").message_type.add(name="M")
    files.file[0].source_code_info.location.add(leading_comments="x" * 1000)
    linked = descriptor_pb2.FileDescriptorSet.FromString(
        transcoder("z", files.SerializeToString()).proto_descriptor_bin
    )
    assert [file.name for file in linked.file] == ["a.proto", "z.proto"]
    assert not linked.file[1].HasField("source_code_info")


def test_options_of_the_authors_own_do_not_keep_the_descriptors_from_being_linked():
    files = descriptor_pb2.FileDescriptorSet.FromString(backends.descriptors("pkg", "Foo"))
    files.file[0].dependency.append("google/protobuf/descriptor.proto")
    files.file[0].extension.add(name="mine", number=50_000, type=9, label=1, extendee=".google.protobuf.MethodOptions")
    assert service_names(files.SerializeToString()) == ("pkg.Foo",)


def test_health_and_reflection_are_no_services_of_the_users():
    files = descriptor_pb2.FileDescriptorSet.FromString(backends.descriptors("pkg", "Foo"))
    files.MergeFromString(backends.descriptors("grpc.health.v1", "Health"))
    files.MergeFromString(backends.descriptors("grpc.reflection.v1", "ServerReflection"))
    assert service_names(files.SerializeToString()) == ("pkg.Foo",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xff", "no FileDescriptorSet"),
        (b"", "no gRPC service"),
        (
            descriptor_pb2.FileDescriptorSet(
                file=[
                    descriptor_pb2.FileDescriptorProto(name="a.proto", dependency=["b.proto"]),
                    descriptor_pb2.FileDescriptorProto(name="b.proto", dependency=["a.proto"]),
                ]
            ).SerializeToString(),
            "in a circle",
        ),
        (
            descriptor_pb2.FileDescriptorSet(
                file=[descriptor_pb2.FileDescriptorProto(name="a.proto", dependency=["missing.proto"])]
            ).SerializeToString(),
            "cannot be linked",
        ),
    ],
)
def test_descriptors_that_cannot_be_used_say_why_and_offer_nothing(content, reason):
    assert service_names(content) == ()
    with pytest.raises(Unusable, match=reason):
        transcoder("foo", content)


def test_whatever_bytes_a_tenant_sends_no_other_tenant_notices():
    good = backends.descriptors("pkg", "Foo")
    random = Random(7)  # noqa: S311 - the same bytes in every run
    for _ in range(3000):
        bad = bytearray(good)
        for _ in range(random.randint(1, 6)):
            bad[random.randrange(len(bad))] = random.randrange(256)
        if service_names(bytes(bad)):
            transcoder("foo", bytes(bad))


def test_a_chain_of_imports_may_be_long_and_a_service_may_not_be():
    files = descriptor_pb2.FileDescriptorSet.FromString(backends.descriptors("pkg", "Foo"))
    for n in range(400):
        files.file.add(name=f"{n}.proto", dependency=[f"{n - 1}.proto"] if n else [])
    files.file[0].dependency.append("399.proto")
    assert service_names(files.SerializeToString()) == ("pkg.Foo",)
    many = backends.descriptors("pkg", "Foo", methods=tuple(f"M{n}" for n in range(2000)))
    assert service_names(many) == ()


def test_spellings_are_those_that_mean_the_name():
    assert spellings("ListServices") == ["ListServices", "listServices", "list-services"]
    assert spellings("Call") == ["Call", "call"]
    for name in ("ListServices", "Call", "GetURL", "X"):
        assert all(descriptors.go_name(spelling) == name for spelling in spellings(name))


def test_every_platform_service_has_descriptors():
    from gateway.listeners import PLATFORM_PACKAGES

    for package in PLATFORM_PACKAGES:
        assert service_names(descriptor_set(package)), package
