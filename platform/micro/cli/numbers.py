"""Whole numbers as options take them, within what the wire has room for."""

from __future__ import annotations

import click

INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1


class Number(click.ParamType):  # type: ignore[type-arg]  # older clicks know no arguments of it
    """A whole number between two, both included."""

    name = "number"

    def __init__(self, least: int = 0, most: int = INT64_MAX) -> None:
        self.least, self.most = least, most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(str(value))
        except ValueError:
            self.fail(f"{value!r} is no whole number.", param, ctx)
        if number < self.least:
            self.fail(f"{number} is too small: {self.least} is the least.", param, ctx)
        if number > self.most:
            self.fail(f"{number} is too large: {self.most} is the most.", param, ctx)
        return number
