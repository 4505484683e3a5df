"""What somebody typed behind `micro SERVICE`: the method that is meant, and its flags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from micro.cli.failures import Failure

from .endpoints import Endpoint, Field

# The flags of every method, but for those that its own fields have the names of.
OPTIONS = (
    Field("json", "json", comment="The request as a JSON object, @file, or - for stdin; other flags are set over it."),
    Field("output", "string", comment="json (indented by tabs), or raw: one line a message."),
    Field("request_timeout", "duration", comment="How long to wait, e.g. 500ms or 5s (5s; a stream may go on)."),
)
DEEPEST = 6  # levels of fields that help shows


class Step(NamedTuple):
    """One part of the way to a field: a field's name, a map's key, or an index."""

    part: str | int
    field: Field


@dataclass
class Given:
    """One field of the request with the values that it is given, by whichever spelling of its flag."""

    flag: str
    steps: list[Step]
    values: list[str] = field(default_factory=list)

    @property
    def field(self) -> Field:
        return self.steps[-1].field

    @property
    def path(self) -> tuple[str | int, ...]:
        return tuple(step.part for step in self.steps)


@dataclass
class Flags:
    """Fields and options, each once."""

    fields: list[Given]
    options: dict[str, list[str]]


def split(args: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The words before the first flag, and the rest."""
    count = next((position for position, arg in enumerate(args) if arg.startswith("-")), len(args))
    return list(args[:count]), list(args[count:])


def pick(service: str, words: list[str], endpoints: list[Endpoint]) -> Endpoint:
    """The endpoint that is meant. A service with one handler has its methods under its own name, too."""
    if len(words) > 2:
        raise Failure("Incorrect number of arguments")
    handler, method = [service, "call", *words][-2:] if len(words) != 1 else (service, words[0])
    wanted = key(handler), key(method)
    handlers = {endpoint.name.partition(".")[0] for endpoint in endpoints}
    for endpoint in endpoints:
        own, _, name = endpoint.name.partition(".")
        is_the_only = len(handlers) == 1 and len(words) < 2
        if key(name) == wanted[1] and (key(own) == wanted[0] or is_the_only):
            return endpoint
    name = f"{titled(handler)}.{titled(method)}"
    raise Failure(f"Endpoint {name} not found for service {service}\n{_way_out(service, words, endpoints)}", 128)


def _way_out(service: str, words: list[str], endpoints: list[Endpoint]) -> str:
    """The command that may be meant, else where all of them are told."""
    import difflib

    from .help import as_command

    known = [as_command(service, endpoint.name) for endpoint in endpoints]
    if close := difflib.get_close_matches(" ".join(words or ["call"]), known, 1):
        return f"Did you mean `micro {service} {close[0]}`?"
    return f"See `micro {service} --help` for those that it has."


def key(name: str) -> str:
    """A handler's or method's name without what people write differently."""
    return re.sub(r"[-_.]", "", name).lower()


def titled(name: str) -> str:
    """Every letter that follows none is upper case."""
    return re.sub(r"(?<![A-Za-z])[a-z]", lambda letter: letter[0].upper(), name)


def parse(typed: list[str], endpoint: Endpoint) -> Flags:
    """Flags with all their values: `--k=v`, `--k v`, and `--k` for true. Raises Failure for what is none."""
    fields: dict[tuple[str | int, ...], Given] = {}
    chosen: dict[str, list[str]] = {}
    position = 0
    while position < len(typed):
        name, steps, value, width = _flag(typed[position : position + 2], endpoint)
        if any(steps[0].field is option for option in OPTIONS):
            chosen.setdefault(steps[0].field.name, []).append(value)
        else:
            fields.setdefault(tuple(step.part for step in steps), Given(name, steps)).values.append(value)
        position += width
    return Flags(list(fields.values()), chosen)


def _flag(typed: list[str], endpoint: Endpoint) -> tuple[str, list[Step], str, int]:
    """The next flag: its name, the way to its field, its value, and how many arguments it takes."""
    name, equals, value = typed[0].partition("=")
    if not name.startswith("-") or not name.strip("-"):
        raise _invalid(typed[0])
    name = name.lstrip("-")
    steps = find(name, (*endpoint.fields, *options(endpoint)))
    if steps is None:
        raise _invalid(typed[0]) if "=" in value else _unknown(name, endpoint)
    known = steps[-1].field
    if "=" in value and not _may_hold_equals(known):
        raise _invalid(typed[0])
    if equals:
        return name, steps, value, 1
    if len(typed) > 1 and _takes(typed[1], known):
        return name, steps, typed[1], 2
    if known.type != "bool" or known.key:
        raise Failure(f"--{name} needs a value: --{name}=..., or --{name}= for a blank one.")
    return name, steps, "true", 1


def _invalid(typed: str) -> Failure:
    return Failure(f"Invalid flag: {typed}. Expected format: --foo=bar")


def _unknown(name: str, endpoint: Endpoint) -> Failure:
    import difflib

    names = [spelled for spelled, _ in shown((*endpoint.fields, *options(endpoint)))]
    close = difflib.get_close_matches(re.sub(r"[-.]", "_", name), names, 1)
    return Failure(f"Unknown flag: {name}" + (f"\nDid you mean --{close[0]}?" if close else ""))


def _may_hold_equals(known: Field) -> bool:
    """Micro refuses `--a=b=c`, but base64, pairs and JSON are full of that sign."""
    return known.type in ("bytes", "json") or bool(known.key) or known.inner is not None


def _takes(following: str, known: Field) -> bool:
    """Whether a flag without `=` has the next argument as its value."""
    if known.type == "bool" and not (known.key or known.is_list):
        return following in ("true", "false")
    return not following.startswith("-") or following == "-" or bool(re.match(r"-[0-9.]", following))


def options(endpoint: Endpoint) -> tuple[Field, ...]:
    """The flags that every method takes, but for those that mean one of its fields."""
    return tuple(option for option in OPTIONS if find(option.name, endpoint.fields) is None)


def find(name: str, fields: tuple[Field, ...]) -> list[Step] | None:
    """The way to the field that a flag names; None for an unknown one.

    `_`, `-` and `.` lead into messages, maps and, with an index, lists of messages. The shortest way wins.
    """
    return min(_ways(name, fields), key=len, default=None)


def _ways(name: str, fields: tuple[Field, ...]) -> Iterator[list[Step]]:
    flat = _flat(name)
    for known in fields:
        own = _flat(known.name)
        if flat == own:
            yield [Step(known.name, known)]
        elif flat.startswith(f"{own}_"):
            yield from ([Step(known.name, known), *way] for way in _ways_into(known, name[len(own) + 1 :]))


def _flat(name: str) -> str:
    return re.sub(r"[-.]", "_", name)


def _ways_into(known: Field, rest: str) -> Iterator[list[Step]]:
    if known.key:
        yield from _ways_of_map(known, rest)
    elif not known.is_list:
        yield from _ways(rest, known.fields())
    elif known.inner and (found := re.fullmatch(r"(\d+)(?:[-_.](.+))?", rest)):
        item = Step(int(found[1]), known.one())
        yield from ([item, *way] for way in (_ways(found[2], known.fields()) if found[2] else [[]]))


def _ways_of_map(known: Field, rest: str) -> Iterator[list[Step]]:
    """A key, or a key and a field of the message below it. The former only where the latter cannot be meant."""
    ends = [found.start() for found in re.finditer(r"[-_.]", rest)] if known.inner else []
    ways = [
        [Step(rest[:end], known.one()), *way] for end in ends if end for way in _ways(rest[end + 1 :], known.fields())
    ]
    yield from ways or [[Step(rest, known.one())]]


def shown(fields: tuple[Field, ...], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, Field]]:
    """The flags that help shows, with their fields. A message that contains itself is not opened a second time."""
    for known in fields:
        name = _flat(known.name)
        if known.is_message and known.type not in parents and len(parents) < DEEPEST and known.fields():
            inner = shown(known.fields(), (*parents, known.type))
            yield from ((f"{name}_{below}", field) for below, field in inner)
        else:
            yield name, known
