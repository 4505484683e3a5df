"""The OpenAPI document as something to read: calls by noun, with their fields and a command to copy. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = {
    "namespace": "",
    "service": "hello",
    "name": "hello",
    "version": "latest",
    "source": "https://github.com/you/hello.git",
    "id": "$ID",
}
NAMED_ALIKE = {"create_api_token": "ci", "create_namespace": "shop", "read_namespace": "shop"}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a call takes or gives."""

    name: str
    kind: str
    text: str = ""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one path."""

    id: str
    method: str
    path: str
    text: str
    command: str
    query: list[Field] = field(default_factory=list)
    body: list[Field] = field(default_factory=list)
    answers: list[tuple[str, str, str]] = field(default_factory=list)  # status, what it means, the document's name


@dataclass(frozen=True, slots=True)
class Section:
    """The calls about one noun, and the documents that they answer with."""

    name: str
    calls: list[Call]
    documents: list[tuple[str, list[Field]]]


def sections(document: Mapping[str, Any], base: str) -> list[Section]:
    """What the page shows, by noun in the order of the document; commands are for the server at `base`."""
    schemas = document["components"]["schemas"]
    calls: dict[str, list[Call]] = {}
    for path, methods in document["paths"].items():
        noun = path.split("/")[2]
        calls.setdefault(noun, []).extend(_call(path, name, call, schemas, base) for name, call in methods.items())
    return [Section(noun, found, list(_documents(found, schemas))) for noun, found in calls.items()]


def _call(path: str, method: str, call: Mapping[str, Any], schemas: Mapping[str, Any], base: str) -> Call:
    body = _reference(call.get("requestBody", {}).get("content", {}))
    return Call(
        id=call["operationId"],
        method=method.upper(),
        path=path,
        text=call.get("description", ""),
        command=_command(path, method, call["operationId"], schemas.get(body, {}), base),
        query=[_parameter(given, schemas) for given in call.get("parameters", []) if given["in"] == "query"],
        body=_fields(schemas.get(body, {}), schemas),
        answers=[_answer(status, answer) for status, answer in call["responses"].items()],
    )


def _command(path: str, method: str, id: str, body: Mapping[str, Any], base: str) -> str:
    examples = {**EXAMPLES, "name": NAMED_ALIKE.get(id, EXAMPLES["name"])}
    for name, example in examples.items():
        path = path.replace(f"{{{name}}}", example)
    words = ["curl", "-N" if path.endswith("/logs") else "", "" if method == "get" else f"-X {method.upper()}"]
    words += ['-H "Authorization: Bearer $TOKEN"', f'"{base}{path}"']
    if body:
        sent = {name: examples.get(name, "") for name in body.get("required", [])}
        words.append(f"-H 'Content-Type: application/json' -d '{json.dumps(sent)}'")
    return " ".join(word for word in words if word)


def _parameter(given: Mapping[str, Any], schemas: Mapping[str, Any]) -> Field:
    kind = _kind(given["schema"], schemas)
    return Field(given["name"], kind, given.get("description", ""), given.get("required", False))


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Field]:
    required = schema.get("required", [])
    return [
        Field(name, _kind(inner, schemas), inner.get("description", "").partition("\n\n*")[0], name in required)
        for name, inner in schema.get("properties", {}).items()
    ]


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """A few words for a schema: its type, or what it may be."""
    if name := _name(schema):
        return _kind(schemas[name], schemas) if "enum" in schemas[name] else name
    for several in ("oneOf", "allOf", "anyOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_kind(inner, schemas) for inner in schema[several]))
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'], schemas)}"
    kinds = schema.get("type", "")
    kind = " or ".join(kinds) if isinstance(kinds, list) else kinds
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _answer(status: str, answer: Mapping[str, Any]) -> tuple[str, str, str]:
    return status, answer.get("description", ""), _reference(answer.get("content", {}))


def _reference(content: Mapping[str, Any]) -> str:
    for media in content.values():
        return _name(media.get("schema", {}))
    return ""


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _documents(calls: list[Call], schemas: Mapping[str, Any]) -> Iterator[tuple[str, list[Field]]]:
    """The documents that calls answer with, each once; of a page, what is on it."""
    names = [name.removesuffix("Page") for call in calls for _, _, name in call.answers if name and name != "Problem"]
    for name in dict.fromkeys(names):
        yield name, _fields(schemas[name], schemas)
