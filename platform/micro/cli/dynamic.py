"""`micro SERVICE [HANDLER] [METHOD] --field=value`: every service is a command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .failures import Failure
from .session import Session, pass_session

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

    from micro.client import Client
    from micro.proto import registry_pb2

DEEPEST = 6  # message types may contain themselves


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request: a scalar, `[]` of something, `map`, or a message with fields of its own."""

    name: str
    type: str
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method as the registry describes it."""

    name: str
    fields: tuple[Field, ...]
    streams: bool = False


def command(name: str) -> click.Command:
    """The command of a service that may or may not be there."""

    @click.command(
        name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=False
    )
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    @pass_session
    def dynamic(session: Session, args: tuple[str, ...]) -> None:
        _exec_plugin(name, args)
        client, services = _found(session.client, name)
        if all(service.protocol == "http" for service in services):
            raise Failure(f"{name} speaks plain HTTP: open its address, which `micro status -o json {name}` shows.")
        endpoints = endpoints_of(services)
        words, flags = split(args)
        if not args or "--help" in args or "-h" in args:
            click.echo(help_text(name, services, endpoints, words), err=True)
            return
        endpoint = pick(name, words, endpoints)
        request = build(endpoint.fields, parse(flags, endpoint.fields))
        _print(client, name, endpoint, request)

    return dynamic


def _exec_plugin(name: str, args: tuple[str, ...]) -> None:
    """`micro-<name>` on PATH takes over."""
    import os
    import shutil

    if program := shutil.which(f"micro-{name}"):
        os.execv(program, [program, *args])  # noqa: S606


def _found(client: Client, name: str) -> tuple[Client, list[registry_pb2.Service]]:
    """The service in the current namespace, else in the platform's."""
    from micro import errors

    for candidate in (client, client.within("micro")):
        try:
            if services := candidate.services(name):
                return candidate, services
        except errors.NotFound:
            continue
    raise Failure(f"Unrecognized micro command: {name}. Please refer to 'micro --help'{_meant(name)}")


def _meant(name: str) -> str:
    import difflib

    from .help import COMMANDS

    close = difflib.get_close_matches(name, COMMANDS, 1)
    return f"\nDid you mean `micro {close[0]}`?" if close else ""


def _print(client: Client, service: str, endpoint: Endpoint, request: dict[str, Any]) -> None:
    from .services import indented

    if not endpoint.streams:
        click.echo(indented(client.call(service, endpoint.name, request)))
        return
    for reply in client.stream(service, endpoint.name, request):
        click.echo(indented(reply))


# What the registry knows.


def endpoints_of(services: list[registry_pb2.Service]) -> list[Endpoint]:
    """The methods of a service: from its descriptors where there are some, else from the registry's value trees."""
    from micro.client import methods_in

    described = next((service.descriptors for service in services if service.descriptors), b"")
    if described:
        return [_from_descriptor(name, method) for name, method in sorted(methods_in(described).items())]
    return [_from_tree(endpoint) for endpoint in services[0].endpoints]


def _from_tree(endpoint: registry_pb2.Endpoint) -> Endpoint:
    def fields(value: registry_pb2.Value) -> tuple[Field, ...]:
        return tuple(Field(inner.name, inner.type, fields(inner)) for inner in value.values)

    return Endpoint(endpoint.name, fields(endpoint.request), endpoint.metadata.get("stream") == "true")


def _from_descriptor(name: str, method: MethodDescriptor) -> Endpoint:
    return Endpoint(name, _fields(method.input_type, DEEPEST), method.server_streaming)


def _fields(message: Descriptor, depth: int) -> tuple[Field, ...]:
    return tuple(_field(known, depth) for known in message.fields) if depth else ()


def _field(known: FieldDescriptor, depth: int) -> Field:
    inner = known.message_type
    if inner is not None and inner.GetOptions().map_entry:
        key, value = (_type(inner.fields_by_name[part]) for part in ("key", "value"))
        return Field(known.name, f"map[{key}]{value}")
    if known.is_repeated:
        return Field(known.name, f"[]{_type(known)}")
    return Field(known.name, _type(known), _fields(inner, depth - 1) if inner is not None else ())


def _type(known: FieldDescriptor) -> str:
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
    if known.message_type is not None:
        return str(known.message_type.name)
    return "bytes" if known.type == known.TYPE_BYTES else "string"


# What the user typed.


def split(args: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The words before the first flag, and the rest."""
    words: list[str] = []
    for arg in args:
        if arg.startswith("-"):
            break
        words.append(arg)
    return words, list(args[len(words) :])


def pick(service: str, words: list[str], endpoints: list[Endpoint]) -> Endpoint:
    """The endpoint that is meant. A service with one handler has its methods under its own name, too."""
    if len(words) > 2:
        raise Failure("Incorrect number of arguments")
    handler, method = [service, "call", *words][-2:] if len(words) != 1 else (service, words[0])
    wanted = _key(handler), _key(method)
    handlers = {endpoint.name.partition(".")[0] for endpoint in endpoints}
    for endpoint in endpoints:
        own, _, name = endpoint.name.partition(".")
        is_the_only = len(handlers) == 1 and len(words) < 2
        if _key(name) == wanted[1] and (_key(own) == wanted[0] or is_the_only):
            return endpoint
    name = f"{titled(handler)}.{titled(method)}"
    raise Failure(f"Endpoint {name} not found for service {service}", 128)


def _key(name: str) -> str:
    return re.sub(r"[-_.]", "", name).lower()


def titled(name: str) -> str:
    """Every letter that follows none is upper case."""
    return re.sub(r"(?<![A-Za-z])[a-z]", lambda letter: letter[0].upper(), name)


def parse(flags: list[str], fields: tuple[Field, ...]) -> dict[str, list[str]]:
    """Flags by name, each with all its values: `--k=v`, `--k v`, and `--k` for true or blank."""
    values: dict[str, list[str]] = {}
    position = 0
    while position < len(flags):
        name, equals, value = flags[position].partition("=")
        if not name.startswith("-") or "=" in value:
            raise Failure(f"Invalid flag: {flags[position]}. Expected format: --foo=bar")
        name = name.lstrip("-")
        following = flags[position + 1] if position + 1 < len(flags) else "--"
        if not equals and _takes(following, find(name, fields)):
            value = following
            position += 1
        elif not equals and _is_bool(name, fields):
            value = "true"
        values.setdefault(name, []).append(value)
        position += 1
    return values


def _takes(following: str, found: tuple[list[str], Field]) -> bool:
    """Whether a flag without `=` has the next argument as its value."""
    if found[1].type == "bool":
        return following in ("true", "false")
    return not following.startswith("-") or bool(re.fullmatch(r"-[0-9.]+", following))


def _is_bool(name: str, fields: tuple[Field, ...]) -> bool:
    return find(name, fields)[1].type == "bool"


def find(name: str, fields: tuple[Field, ...]) -> tuple[list[str], Field]:
    """The path to the field that a flag names, and the field. `_` and `-` both lead into a message or a map."""
    for path, known in _paths(fields):
        joined = "_".join(path)
        if name.replace("-", "_") == joined:
            return path, known
        if known.type.startswith("map[") and name.replace("-", "_").startswith(f"{joined}_"):
            return [*path, name[len(joined) + 1 :]], Field(name, known.type.partition("]")[2])
    raise Failure(f"Unknown flag: {name}")


def _paths(fields: tuple[Field, ...]) -> Iterator[tuple[list[str], Field]]:
    """Every field with its path, those near the top first."""
    level = [([known.name], known) for known in fields]
    while level:
        yield from level
        level = [([*path, inner.name], inner) for path, known in level for inner in known.fields]


def build(fields: tuple[Field, ...], values: dict[str, list[str]]) -> dict[str, Any]:
    """The request as JSON has it."""
    request: dict[str, Any] = {}
    for name, given in values.items():
        path, known = find(name, fields)
        branch = request
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise Failure(f"Error parsing request, duplicate key: {part}")
        if path[-1] in branch:
            raise Failure(f"Error parsing request, duplicate key: {path[-1]}")
        branch[path[-1]] = coerced(name, known, given)
    return request


def coerced(name: str, known: Field, given: list[str]) -> Any:
    """The values of a flag as the field's type has them. Messages, maps and lists of them are taken as JSON."""
    if given[-1][:1] in ("{", "[") and (known.fields or known.type not in _SCALARS):
        return _json(name, given[-1])
    if known.type.startswith("[]"):
        parts = [part for value in given for part in value.split(",")]
        return [_scalar(name, known.type[2:], part) for part in parts]
    return _scalar(name, known.type, given[-1])


def _json(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise Failure(f"Invalid value for --{name}: {error}") from None


def _scalar(name: str, type: str, value: str) -> Any:
    try:
        return _SCALARS.get(type, str)(value)
    except ValueError:
        raise Failure(f"Invalid value for --{name}: {value!r} is no {type}") from None


def _bool(value: str) -> bool:
    words = {"1": True, "t": True, "true": True, "": True, "0": False, "f": False, "false": False}
    if value.lower() not in words:
        raise ValueError(value)
    return words[value.lower()]


def _integer(value: str) -> int:
    """In any base that its prefix names."""
    return int(value, 0)


_SCALARS: dict[str, Callable[[str], Any]] = {
    "bool": _bool,
    "int32": int,
    "int64": _integer,
    "uint32": _integer,
    "uint64": _integer,
    "float64": float,
    "float32": float,
    "string": str,
    "bytes": str,
}


# Help.


def help_text(name: str, services: list[registry_pb2.Service], endpoints: list[Endpoint], words: list[str]) -> str:
    if words:
        endpoint = pick(name, words, endpoints)
        lines = [f"\t--{'_'.join(path)} {known.type}" for path, known in _paths(endpoint.fields) if not known.fields]
        typed = " ".join([name, *words])
        return "\n".join(["NAME:", f"\tmicro {typed}", "", "USAGE:", f"\tmicro {typed} [flags]", "", "FLAGS:", *lines])
    version = services[0].version or "latest"
    commands = sorted(_as_command(name, endpoint.name) for endpoint in endpoints)
    head = ["NAME:", f"\tmicro {name}", "", "VERSION:", f"\t{version}", "", "USAGE:", f"\tmicro {name} [command]"]
    return "\n".join([*head, "", "COMMANDS:", *(f"\t{line}" for line in commands)])


def _as_command(service: str, endpoint: str) -> str:
    """`Helloworld.Call` of helloworld is `call`; another handler's name comes first."""
    handler, _, method = endpoint.partition(".")
    lowered = method[:1].lower() + method[1:]
    return lowered if _key(handler) == _key(service) else f"{handler[:1].lower()}{handler[1:]} {lowered}"
