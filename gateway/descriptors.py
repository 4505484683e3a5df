"""A service's FileDescriptorSet and Micro's path rules → the transcoder's configuration.

Micro's paths are injected as `google.api.http` bindings. What the set imports only for options (`google/api/*`,
`descriptor.proto`) is dropped: Envoy reads the option all the same, and the set is a tenth of the size.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from envoy.extensions.filters.http.grpc_json_transcoder.v3 import transcoder_pb2
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from google.protobuf.message import DecodeError

from micro import interfaces

from .remembered import Remembered

logger = logging.getLogger(__name__)

LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024
OPTION_FILES = re.compile(r"google/(protobuf/descriptor|api/(?!httpbody)\w+)\.proto")
INFRASTRUCTURE = re.compile(r"grpc\.(health|reflection|channelz)\.")
VERSION = re.compile(r"v\d+")
LONGEST_REASON = 200  # characters of what protobuf says, which may quote the set


class Unusable(ValueError):
    """The set is not a FileDescriptorSet that can be linked; the text says why, as half a sentence."""


@dataclass(frozen=True, slots=True)
class Interface:
    """What a set says in a few words.

    `names` are the full names of the gRPC services in it that are the service's own, in the set's order; `binds_verbs`
    says whether the author has bound paths to verbs other than GET and POST: then PUT is not just another POST. A
    `fault`, half a sentence, is why it cannot be used; `expanded_bytes` is about what the transcoder takes.
    """

    names: tuple[str, ...] = ()
    binds_verbs: bool = False
    fault: str = ""
    expanded_bytes: int = 0


def _read(descriptors: bytes) -> Interface:
    """Whatever one set makes us stumble over is that set's fault, and logged once."""
    if not descriptors:
        return Interface()
    if fault := interfaces.find_fault(descriptors):
        return Interface(fault=fault)
    try:
        files = _linked(descriptors)
        return Interface(
            names=tuple(f"{file.package}.{service.name}".lstrip(".") for file, service in _own_services(files)),
            binds_verbs=any(verb not in ("get", "post") for verb, _ in _declared(files)),
            expanded_bytes=interfaces.expanded_bytes(descriptors),
        )
    except Unusable as error:
        return Interface(fault=str(error))
    except Exception:
        logger.exception("descriptors cannot be read")
        return Interface(fault="they cannot be read")


read = Remembered(_read)


def service_names(descriptors: bytes) -> tuple[str, ...]:
    """The full names of the gRPC services in the set; empty for b"" and for a set that is unusable."""
    return read(descriptors).names


def transcoder(service: str, descriptors: bytes) -> transcoder_pb2.GrpcJsonTranscoder:
    """The transcoder for `service`, with every path of Micro's table that means one of its methods.

    Raises Unusable when the set is excessive, cannot be linked or has no service.
    """
    interface = read(descriptors)
    if interface.fault:
        raise Unusable(interface.fault)
    if not interface.names:
        raise Unusable(f"the descriptors of {service} hold no gRPC service")
    names = interface.names
    files = _linked(descriptors)
    taken: set[tuple[str, str]] = _declared(files)
    default = _default_handler(service, [name.rpartition(".")[2] for name in names])
    for paths in (_mounted, _at_own_host):
        for file, handler in _own_services(files):
            full = f"{file.package}.{handler.name}".lstrip(".")
            for method in handler.method:
                found = paths(service, full, method.name, is_default=handler.name == default)
                _bind(method, found, taken)
    return _configured(files, names)


def _linked(descriptors: bytes) -> list[descriptor_pb2.FileDescriptorProto]:
    """The set's files in the order of their imports, without what only options need."""
    try:
        ordered = _ordered(descriptor_pb2.FileDescriptorSet.FromString(descriptors))
        pool = descriptor_pool.DescriptorPool()
        for file in ordered:
            pool.AddSerializedFile(file.SerializeToString())
            pool.FindFileByName(file.name)
    except (DecodeError, TypeError, KeyError, ValueError) as error:  # what protobuf raises for what tenants may send
        if isinstance(error, Unusable):
            raise
        raise Unusable(f"they cannot be linked: {str(error)[:LONGEST_REASON]}") from None
    return ordered


def _ordered(given: descriptor_pb2.FileDescriptorSet) -> list[descriptor_pb2.FileDescriptorProto]:
    files = {file.name: file for file in given.file if not OPTION_FILES.fullmatch(file.name)}
    for file in files.values():
        _strip(file)
    return list(_in_order(files))


def _strip(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Take out comments, imports of option files and the extensions that declare options."""
    file.ClearField("source_code_info")
    kept = [name for name in file.dependency if not OPTION_FILES.fullmatch(name)]
    del file.dependency[:], file.public_dependency[:], file.weak_dependency[:]
    file.dependency.extend(kept)
    _drop_option_extensions(file)


def _drop_option_extensions(scope: descriptor_pb2.FileDescriptorProto | descriptor_pb2.DescriptorProto) -> None:
    kept = [extension for extension in scope.extension if not extension.extendee.startswith(".google.protobuf.")]
    del scope.extension[:]
    scope.extension.extend(kept)
    nested = scope.message_type if isinstance(scope, descriptor_pb2.FileDescriptorProto) else scope.nested_type
    for message in nested:
        _drop_option_extensions(message)


def _in_order(files: dict[str, descriptor_pb2.FileDescriptorProto]) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    imports = {name: [each for each in file.dependency if each in files] for name, file in sorted(files.items())}
    try:
        yield from (files[name] for name in TopologicalSorter(imports).static_order())
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise Unusable(f"their files import each other in a circle: {circle[:LONGEST_REASON]}") from None


def _own_services(
    files: Iterable[descriptor_pb2.FileDescriptorProto],
) -> Iterator[tuple[descriptor_pb2.FileDescriptorProto, descriptor_pb2.ServiceDescriptorProto]]:
    for file in files:
        for service in file.service:
            if not INFRASTRUCTURE.match(f"{file.package}."):
                yield file, service


def go_name(text: str) -> str:
    """A path part as a method name: baz-xyz → BazXyz."""
    return "".join(piece[:1].upper() + piece[1:] for piece in text.split("-"))


def spellings(name: str) -> list[str]:
    """The path parts that people write for a method or handler: ListServices, listServices, list-services."""
    lower = name[:1].lower() + name[1:]
    dashed = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    return [part for part in dict.fromkeys((name, lower, dashed)) if go_name(part) == name]


def _default_handler(service: str, handlers: list[str]) -> str:
    """The handler that a path without one means: the one named like the service, or the only one."""
    wanted = go_name(service.rpartition(".")[2])
    alike = [handler for handler in handlers if handler.lower() == wanted.lower()]
    exact = [handler for handler in alike if handler == wanted]
    return (exact or alike or (handlers if len(handlers) == 1 else [wanted]))[0]


def _mounted(service: str, full_name: str, method: str, *, is_default: bool) -> Iterator[str]:
    """The method's paths where services are told apart by path, and its gRPC paths."""
    handler = full_name.rpartition(".")[2]
    yield f"/{full_name}/{method}"
    yield f"/{service}.{handler}/{method}"
    base = "/" + service.replace(".", "/")
    yield from (f"{base}/{one}/{two}" for one in spellings(handler) for two in spellings(method))
    if is_default and _has_short_form(service):
        yield from (f"{base}/{part}" for part in spellings(method))
        yield from [base] if method == "Call" else []


def _has_short_form(service: str) -> bool:
    """Only names of one part, with or without a version in front, can be told from a handler in a path."""
    parts = service.split(".")
    return len(parts) == 1 or (len(parts) == 2 and VERSION.fullmatch(parts[0]) is not None)


def _at_own_host(service: str, full_name: str, method: str, *, is_default: bool) -> Iterator[str]:
    """The method's paths at the service's own host."""
    handler = full_name.rpartition(".")[2]
    yield from (f"/{one}/{two}" for one in spellings(handler) for two in spellings(method))
    if is_default:
        yield from (f"/{part}" for part in spellings(method))
        yield from ["/"] if method == "Call" else []


def _bind(method: descriptor_pb2.MethodDescriptorProto, paths: Iterable[str], taken: set[tuple[str, str]]) -> None:
    """Add POST and GET bindings for `paths` to the method's option; a path that is taken stays with who has it."""
    rule = method.options.Extensions[annotations_pb2.http]
    for path in paths:
        for verb, binding in (("post", {"post": path, "body": "*"}), ("get", {"get": path})):
            if (verb, path) not in taken:
                taken.add((verb, path))
                if rule.WhichOneof("pattern"):
                    rule.additional_bindings.add(**binding)
                else:
                    rule.MergeFrom(http_pb2.HttpRule(**binding))


def _declared(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> set[tuple[str, str]]:
    """The verbs and paths that the service's author has bound."""
    found = set()
    for _, service in _own_services(files):
        for method in service.method:
            if method.options.HasExtension(annotations_pb2.http):
                rule = method.options.Extensions[annotations_pb2.http]
                for each in (rule, *rule.additional_bindings):
                    verb = each.WhichOneof("pattern")
                    if verb and verb != "custom":
                        found.add((verb, getattr(each, verb)))
    return found


def _configured(
    files: Iterable[descriptor_pb2.FileDescriptorProto], names: tuple[str, ...]
) -> transcoder_pb2.GrpcJsonTranscoder:
    linked = descriptor_pb2.FileDescriptorSet(file=files)
    return transcoder_pb2.GrpcJsonTranscoder(
        proto_descriptor_bin=linked.SerializeToString(deterministic=True),
        services=names,
        match_incoming_request_route=True,
        auto_mapping=True,
        convert_grpc_status=False,  # the gateway's Lua writes Micro's error document instead
        case_insensitive_enum_parsing=True,
        query_param_unescape_plus=True,  # as forms, URLSearchParams and most HTTP clients write a space
        print_options={
            "preserve_proto_field_names": True,
            "always_print_primitive_fields": True,
            "stream_newline_delimited": True,
        },
        request_validation_options={"reject_unknown_method": True, "reject_unknown_query_parameters": True},
        max_request_body_size=wrappers_pb2.UInt32Value(value=LARGEST_MESSAGE_BYTES),
        max_response_body_size=wrappers_pb2.UInt32Value(value=LARGEST_MESSAGE_BYTES),
    )
