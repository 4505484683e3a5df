"""Messages as bytes: protobuf, or JSON by protobuf's rules, imported when there is some, with the fields' own names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from .errors import InvalidArgument

JSON = "application/grpc+json"
PROTOBUF = "application/grpc+proto"

M = TypeVar("M", bound=Message)
_NO_FIELD = re.compile(r'has no field named "([^"]*)".*Available Fields[^:]*: "?\[(.*)\]')


def is_json(metadata: Iterable[tuple[str, str | bytes]]) -> bool:
    """Whether a call's metadata says that its frames are JSON. grpcio hides `content-type`, hence the x."""
    return any(
        key == "x-content-type" and str(value).partition(";")[0].strip().endswith("json") for key, value in metadata
    )


def decode(kind: type[M], data: bytes, *, as_json: bool) -> M:
    """Raises InvalidArgument for bytes that are not a message of this kind."""
    if as_json:
        return _from_json(kind, data)
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise _no_message(kind, error) from None
    return message


def _from_json(kind: type[M], data: bytes) -> M:
    from google.protobuf import json_format

    message = kind()
    try:
        if data:
            json_format.Parse(data, message, descriptor_pool=_pool(message))
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise _no_message(kind, error) from None
    return message


def _no_message(kind: type[Message], error: Exception) -> InvalidArgument:
    problem = " ".join(str(error).split())
    if found := _NO_FIELD.search(problem):
        problem = f"it has no field {found[1]}, but {found[2].replace(chr(39), '') or 'none at all'}"
    return InvalidArgument(f"The request is not a {kind.DESCRIPTOR.full_name}: {problem}")


def encode(message: Message, *, as_json: bool) -> bytes:
    if not as_json:
        return message.SerializeToString()
    return json.dumps(to_dict(message), ensure_ascii=False).encode()


def to_dict(message: Message) -> dict[str, Any]:
    """Every field by its original name, defaults included; 64-bit integers are strings, bytes are base64."""
    from google.protobuf import json_format

    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=_pool(message),
    )


def from_dict(kind: type[M], fields: Mapping[str, Any]) -> M:
    """Raises InvalidArgument for a field the message does not have, or a value that does not fit it."""
    from google.protobuf import json_format

    try:
        return json_format.ParseDict(dict(fields), kind(), descriptor_pool=_pool(kind))
    except json_format.ParseError as error:
        raise _no_message(kind, error) from None


def _pool(message: Message | type[Message]) -> Any:
    """Where a message's own types are known, for those that travel as `google.protobuf.Any`."""
    return message.DESCRIPTOR.file.pool
