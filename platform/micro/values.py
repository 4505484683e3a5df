"""What a program keeps or sends, as bytes: bytes are themselves, text is UTF-8, everything else is JSON."""

from __future__ import annotations

import base64
import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

from .errors import InvalidArgument

T = TypeVar("T")


def encode(value: object) -> bytes:
    """`value` as bytes. Raises InvalidArgument for what JSON cannot hold."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"A {type(value).__name__} cannot be sent: {error}.") from None


def decode(data: bytes, kind: type[T]) -> T:
    """The value of type `kind` in `data`: bytes, str, a dataclass, or what JSON has.

    Raises InvalidArgument for bytes that hold no such value.
    """
    try:
        if kind is bytes:
            return data  # type: ignore[return-value]
        if kind is str:
            return data.decode()  # type: ignore[return-value]
        return typing.cast("T", _shaped(json.loads(data), kind))
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidArgument(f"The value is no {getattr(kind, '__name__', kind)}: {error}.") from None


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Enum):
        return value.name
    raise TypeError(f"{type(value).__name__} is no JSON")


def _shaped(value: Any, kind: Any) -> Any:
    """A JSON value in the shape that a type hint tells; hints that tell nothing leave it as it is."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        one = next((argument for argument in arguments if argument is not type(None)), Any)
        return None if value is None else _shaped(value, one)
    if origin is list:
        return [_shaped(item, arguments[0]) for item in value]
    if origin is dict:
        return {key: _shaped(item, arguments[1]) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _built(value, kind)
    return _simple(value, kind)


def _built(value: Any, kind: Any) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError("it is not an object")
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: _shaped(item, hints[name]) for name, item in value.items() if name in known})


def _simple(value: Any, kind: Any) -> Any:
    if kind is bytes:
        return base64.b64decode(value, validate=True)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind[value]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and kind is not object and not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
