"""What somebody typed behind a flag, as JSON has it for the field's type."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from micro.cli.failures import Failure

from .endpoints import Field

WORDS = {"1": True, "t": True, "true": True, "": True, "0": False, "f": False, "false": False}
RELATIVE = re.compile(r"now\s*(?P<sign>[+-])\s*(?P<length>\S+)")


def coerced(flag: str, known: Field, given: list[str]) -> Any:
    """All values of one flag. Raises Failure, naming the flag, the value and what it should have been."""
    if known.key:
        return _map(flag, known, given)
    if known.is_list:
        return _list(flag, known, given)
    return _one(flag, known, given[-1])


def _list(flag: str, known: Field, given: list[str]) -> list[Any]:
    """From a JSON array, from repeats, or from one list with commas."""
    if len(given) == 1 and isinstance(whole := _from_json(given[0]), list):
        return whole
    one = known.one()
    if one.inner is not None or one.type == "json":
        return [_one(flag, one, value) for value in given]
    is_split = len(given) == 1 or one.type != "string"
    return [_one(flag, one, part) for value in given for part in (value.split(",") if is_split else [value])]


def _map(flag: str, known: Field, given: list[str]) -> dict[str, Any]:
    """From JSON objects and `key=value` pairs, of which several may stand in one value with commas."""
    result: dict[str, Any] = {}
    for value in given:
        if isinstance(whole := _from_json(value), dict):
            result |= whole
            continue
        for pair in value.split(","):
            key, equals, item = pair.partition("=")
            if not (key and equals):
                raise _wrong(flag, value, f"{known.shown}: key=value[,key=value], or a JSON object")
            result[key] = _one(flag, known.one(), item)
    return result


def _one(flag: str, known: Field, value: str) -> Any:
    if known.members:
        return _member(flag, known, value)
    if known.inner is not None:
        if not isinstance(whole := _from_json(value), dict):
            raise _wrong(flag, value, f"{known.type}: give it as a JSON object, or its fields as --{flag}_FIELD")
        return whole
    if value.startswith("@") and known.type == "bytes":
        return _file(flag, value[1:])
    try:
        return SCALARS.get(known.type, str)(value)
    except (ValueError, OverflowError, OSError, RecursionError):  # what dates and deep JSON raise, too
        raise _wrong(flag, value, EXPECTED.get(known.type, known.type)) from None


def _wrong(flag: str, value: str, expected: str) -> Failure:
    return Failure(f"Invalid value for --{flag}: {value!r} is no {expected}")


def _from_json(value: str) -> Any:
    """An object or array in JSON; None for anything else."""
    if value[:1] not in ("{", "["):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _member(flag: str, known: Field, value: str) -> str | int:
    """An enum's member by its name, in any case and without the prefix that all names share, or by its number."""
    if re.fullmatch(r"-?\d+", value):
        return int(value)
    wanted = value.upper().replace("-", "_")
    exact = [name for name in known.members if name.upper() == wanted]
    found = exact or [name for name in known.members if name.upper().endswith(f"_{wanted}")]
    if not wanted or len(found) != 1:
        raise _wrong(flag, value, f"{known.type} ({', '.join(known.members)})")
    return found[0]


def _file(flag: str, path: str) -> str:
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return base64.b64encode(content).decode()
    except OSError as error:
        raise Failure(f"Invalid value for --{flag}: {path}: {error.strerror}") from None


# Scalars. Each raises ValueError for what is none.


def _bool(value: str) -> bool:
    if value.lower() not in WORDS:
        raise ValueError(value)
    return WORDS[value.lower()]


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value, 10 if re.fullmatch(r"[+-]?\d+", value) else 0)
        if not low <= number <= high:
            raise ValueError(value)
        return number

    return parse


def _float(value: str) -> float | str:
    """JSON has no number for what is not finite: protobuf takes words for them."""
    number = float(value)
    if math.isnan(number):
        return "NaN"
    return number if math.isfinite(number) else "Infinity" if number > 0 else "-Infinity"


def _bytes(value: str) -> str:
    """base64, in either alphabet, with or without padding."""
    plain = value.replace("-", "+").replace("_", "/").rstrip("=")
    padded = plain + "=" * (-len(plain) % 4)
    try:
        base64.b64decode(padded, validate=True)
    except binascii.Error:
        raise ValueError(value) from None
    return padded


def _timestamp(value: str) -> str:
    """RFC 3339, a date, seconds since 1970, `now`, or a while before or after: `now-1h30m`. UTC unless it says so."""
    at = _moment(value.strip()).astimezone(UTC)
    return at.isoformat().replace("+00:00", "Z")


def _moment(value: str) -> datetime:
    if value == "now":
        return datetime.now(UTC)
    if found := RELATIVE.fullmatch(value):
        length = _length(found["length"])
        return datetime.now(UTC) + (length if found["sign"] == "+" else -length)
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return datetime.fromtimestamp(float(value), UTC)
    at = datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _duration(value: str) -> str:
    """As Go writes it, 1h30m or 500ms, or a number of seconds."""
    sign, length = ("-", value[1:]) if value.startswith("-") else ("", value)
    seconds = _length(length).total_seconds()
    return f"{sign}{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _length(value: str) -> timedelta:
    from micro.cli.services import seconds

    if re.fullmatch(r"\d+(\.\d+)?", value):
        return timedelta(seconds=float(value))
    try:
        return timedelta(seconds=seconds(value))
    except Failure:
        raise ValueError(value) from None


def _paths(value: str) -> str:
    """A field mask: JSON writes the names in its own spelling."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), value)


def _json(value: str) -> Any:
    """Any JSON; what is none is text."""
    try:
        return json.loads(value)
    except ValueError:
        return value


SCALARS: dict[str, Callable[[str], Any]] = {
    "bool": _bool,
    "bytes": _bytes,
    "duration": _duration,
    "float32": _float,
    "float64": _float,
    "int32": _integer(-(2**31), 2**31 - 1),
    "int64": _integer(-(2**63), 2**63 - 1),
    "json": _json,
    "paths": _paths,
    "string": str,
    "timestamp": _timestamp,
    "uint32": _integer(0, 2**32 - 1),
    "uint64": _integer(0, 2**64 - 1),
}
EXPECTED = {
    "bool": "bool: true or false",
    "bytes": "bytes: base64, or @file (@- for stdin)",
    "duration": "duration: such as 1h30m or 500ms, or seconds",
    "timestamp": "timestamp: RFC 3339 such as 2026-01-31T12:00:00Z, a date, seconds since 1970, now or now-1h",
}
