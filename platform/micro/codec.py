"""Messages as bytes: protobuf, or JSON by protobuf's rules with the fields' original names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from .errors import InvalidArgument

JSON = "application/grpc+json"
PROTOBUF = "application/grpc+proto"

M = TypeVar("M", bound=Message)


def is_json(metadata: Iterable[tuple[str, str | bytes]]) -> bool:
    """Whether a call's metadata says that its frames are JSON. grpcio hides `content-type`, hence the x."""
    return any(
        key == "x-content-type" and str(value).partition(";")[0].strip().endswith("json") for key, value in metadata
    )


def decode(kind: type[M], data: bytes, *, as_json: bool) -> M:
    """Raises InvalidArgument for bytes that are not a message of this kind."""
    message = kind()
    try:
        if not as_json:
            message.ParseFromString(data)
        elif data:
            json_format.Parse(data, message, descriptor_pool=_pool(message))
    except (DecodeError, json_format.ParseError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"The request is not a {kind.DESCRIPTOR.full_name}: {_one_line(error)}") from None
    return message


def encode(message: Message, *, as_json: bool) -> bytes:
    if not as_json:
        return message.SerializeToString()
    return json.dumps(to_dict(message), ensure_ascii=False).encode()


def to_dict(message: Message) -> dict[str, Any]:
    """Every field by its original name, defaults included; 64-bit integers are strings, bytes are base64."""
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=_pool(message),
    )


def from_dict(kind: type[M], fields: Mapping[str, Any]) -> M:
    """Raises InvalidArgument for a field the message does not have, or a value that does not fit it."""
    try:
        return json_format.ParseDict(dict(fields), kind(), descriptor_pool=_pool(kind))
    except json_format.ParseError as error:
        raise InvalidArgument(f"The request is not a {kind.DESCRIPTOR.full_name}: {_one_line(error)}") from None


def _pool(message: Message | type[Message]) -> Any:
    """Where a message's own types are known, for those that travel as `google.protobuf.Any`."""
    return message.DESCRIPTOR.file.pool


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
