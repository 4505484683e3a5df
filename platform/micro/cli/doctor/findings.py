"""What the doctor found out about one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is ok, warning (it works without) or missing (it does not); `remedy` is what to do about it."""

    name: str
    state: str
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    return Finding(name, "ok", detail)


def warning(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, "warning", detail, remedy)


def missing(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, "missing", detail, remedy)
