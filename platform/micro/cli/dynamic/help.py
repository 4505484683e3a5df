"""`--help` of services and their methods: types from the descriptors, words from the proto's comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from micro.cli.help import columns

from . import flags
from .endpoints import Endpoint, Field
from .flags import key

if TYPE_CHECKING:
    from micro.proto import registry_pb2

NOTES = {
    "bytes": "bytes are base64, or @file (@- for stdin)",
    "duration": "a duration is written 1h30m or 500ms, or in seconds",
    "timestamp": "a timestamp is RFC 3339, a date, seconds since 1970, now, or now-1h",
}


def text(name: str, services: list[registry_pb2.Service], endpoints: list[Endpoint], words: list[str]) -> str:
    """The help of a service, or of the method that the words mean."""
    if words:
        return _of_method(" ".join([name, *words]), flags.pick(name, words, endpoints))
    commands = sorted((as_command(name, endpoint.name), summary(endpoint.comment)) for endpoint in endpoints)
    head = [*_head(name, services), "", "USAGE:", f"\tmicro {name} [command]"]
    if about := [line for said in dict.fromkeys(one.about for one in endpoints) if said for line in said.splitlines()]:
        head += ["", "DESCRIPTION:", *_indented(about)]
    return "\n".join([*head, "", "COMMANDS:", *_indented(columns(commands))])


def of_http(name: str, services: list[registry_pb2.Service], told: str) -> str:
    """The help of a service without methods: what is `told` of it."""
    return "\n".join([*_head(name, services), "", "DESCRIPTION:", *_indented([told])])


def _head(name: str, services: list[registry_pb2.Service]) -> list[str]:
    return ["NAME:", f"\tmicro {name}", "", "VERSION:", f"\t{services[0].version or 'latest'}"]


def _of_method(typed: str, endpoint: Endpoint) -> str:
    lines = ["NAME:", f"\tmicro {typed}", "", "USAGE:", f"\tmicro {typed} [flags]", ""]
    if description := _description(endpoint):
        lines += ["DESCRIPTION:", *_indented(description), ""]
    known = [*flags.shown(endpoint.fields), *flags.shown(flags.options(endpoint))]
    return "\n".join(
        [*lines, "FLAGS:", *_indented(columns([(_flag(name, field), _meaning(field)) for name, field in known]))]
    )


def _description(endpoint: Endpoint) -> list[str]:
    lines = endpoint.comment.splitlines()
    if endpoint.streams_in:
        lines.append("Takes a stream of messages: one JSON object a line on stdin, or each in a --json of its own.")
    if endpoint.streams_out:
        lines.append("Answers with a stream: each message is printed as it comes.")
    notes = [
        NOTES[kind] for kind in dict.fromkeys(field.type for _, field in flags.shown(endpoint.fields)) if kind in NOTES
    ]
    if notes:
        sentence = "; ".join(notes)
        lines.append(f"{sentence[0].upper()}{sentence[1:]}.")
    return lines


def _flag(name: str, field: Field) -> str:
    return f"--{name} {field.shown}"


def _meaning(field: Field) -> str:
    """What the author says of a field, and what its type does not say."""
    parts = [_joined(field.comment)] if field.comment else []
    if field.members:
        parts.append(f"One of {', '.join(field.members)}.")
    if field.oneof:
        parts.append(f"At most one of the {field.oneof} flags.")
    return " ".join(part if part.endswith((".", "!", "?", ":")) else f"{part}." for part in parts)


def summary(comment: str) -> str:
    """The first paragraph of a comment, on one line."""
    return _joined(comment.partition("\n\n")[0])


def _joined(text: str) -> str:
    return " ".join(text.split())


def _indented(lines: list[str]) -> list[str]:
    return [f"\t{line}".rstrip() for line in lines]


def as_command(service: str, endpoint: str) -> str:
    """`Helloworld.Call` of helloworld is `call`; another handler's name comes first."""
    handler, _, method = endpoint.partition(".")
    lowered = method[:1].lower() + method[1:]
    return lowered if key(handler) == key(service) else f"{handler[:1].lower()}{handler[1:]} {lowered}"
