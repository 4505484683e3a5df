"""Messages to bytes and back: protobuf, or proto3 JSON when the content type says so."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from micro.errors import InvalidArgument
from micro.interfaces import has_few_parts

PROTOBUF_TYPES = frozenset(
    {
        "",
        "application/grpc",
        "application/grpc+proto",
        "application/octet-stream",
        "application/proto",
        "application/protobuf",
    }
)
JSON_TYPES = frozenset({"application/grpc+json", "application/json"})
MAX_DEPTH = 64
MOST_PARTS = 50_000  # of one message: two bytes on the wire may be a hundred in memory
MOST_JSON_PARTS = 200_000  # lists, objects and what is in them; commas in texts count, too

_Message = TypeVar("_Message", bound=Message)


def is_json(content_type: str) -> bool:
    """Whether frames of this content type hold JSON; raises InvalidArgument for a type we do not speak."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in JSON_TYPES:
        return True
    if media_type in PROTOBUF_TYPES:
        return False
    raise InvalidArgument(f"Unsupported Content-Type: {content_type}")


def decode(payload: bytes, message_type: type[_Message], *, as_json: bool) -> _Message:
    """The message in `payload`. Raises InvalidArgument for what is malformed, and for text with a NUL character."""
    message = _from_json(payload, message_type) if as_json else _from_protobuf(payload, message_type)
    if (b"\\u0000" if as_json else b"\0") in payload:
        _refuse_nul(message)
    return message


def encode(message: Message, *, as_json: bool) -> bytes:
    """`message` as bytes. JSON has the proto's own field names, int64 as strings, and fields at their defaults too."""
    if not as_json:
        return message.SerializeToString()
    text = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
    )
    return text.encode()


def _from_protobuf(payload: bytes, message_type: type[_Message]) -> _Message:
    if not has_few_parts(payload, message_type, MOST_PARTS):
        raise InvalidArgument(f"The request has more than {MOST_PARTS} parts.")
    try:
        return message_type.FromString(payload)
    except DecodeError:
        raise InvalidArgument(f"The request is not a valid {message_type.DESCRIPTOR.full_name} message.") from None


def _from_json(payload: bytes, message_type: type[_Message]) -> _Message:
    if sum(map(payload.count, (b",", b"[", b"{"))) > MOST_JSON_PARTS:
        raise InvalidArgument(f"The request has more than {MOST_JSON_PARTS} parts.")
    try:
        document = json.loads(payload.decode() or "{}", object_pairs_hook=_unique, parse_constant=_refuse_constant)
        if document is None:  # what Go sends for a map that was never made
            document = {}
        if not isinstance(document, dict):
            raise ValueError("it is not an object")
        _require_strict_base64(document, message_type.DESCRIPTOR, depth=0)
        return json_format.ParseDict(document, message_type(), max_recursion_depth=MAX_DEPTH)
    except (ValueError, RecursionError, json_format.Error) as error:
        raise InvalidArgument(
            f"The request is not valid JSON for {message_type.DESCRIPTOR.full_name}: {error}"
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key appears twice")
    return document


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _require_strict_base64(document: Any, descriptor: Any, *, depth: int) -> None:
    """Python's decoder skips what is not in the alphabet; a value so damaged must not be stored."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    for field, value in _fields(document, descriptor):
        if field.message_type is not None:
            _require_strict_base64(value, field.message_type, depth=depth + 1)
        elif field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, str):
            _decode_base64(value)


def _fields(document: Any, descriptor: Any) -> Iterator[tuple[FieldDescriptor, Any]]:
    """Every (field, value) of a JSON object, lists and maps item by item; unknown names are left to the parser."""
    if not isinstance(document, Mapping):
        return
    if descriptor.GetOptions().map_entry:
        yield from ((descriptor.fields_by_name["value"], value) for value in document.values())
        return
    for name, value in document.items():
        field = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
        if field is not None:
            yield from ((field, item) for item in (value if isinstance(value, list) else [value]))


def _decode_base64(text: str) -> bytes:
    standard = text.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        raise ValueError("bytes are not valid base64") from None


def _refuse_nul(message: Message) -> None:
    for field, value in message.ListFields():
        for item in _items(field, value):
            if isinstance(item, Message):
                _refuse_nul(item)
            elif isinstance(item, str) and "\0" in item:
                raise InvalidArgument(
                    f"The field {field.name} of {message.DESCRIPTOR.full_name} holds a NUL character."
                )


def _items(field: FieldDescriptor, value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif field.is_repeated:
        yield from value
    else:
        yield value
