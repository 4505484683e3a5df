"""Results kept from one snapshot to the next: what a snapshot does not need is forgotten, however much there was."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Remembered(Generic[Result]):
    """A pure function that works out again only what was not asked for since the snapshot before the last."""

    _all: list[Remembered[object]] = []

    def __init__(self, function: Callable[..., Result]) -> None:
        self._function = function
        self._recent: dict[tuple[Hashable, ...], Result] = {}
        self._before: dict[tuple[Hashable, ...], Result] = {}
        Remembered._all.append(self)  # type: ignore[arg-type]

    def __call__(self, *arguments: Hashable) -> Result:
        if arguments not in self._recent:
            known = arguments in self._before
            self._recent[arguments] = self._before[arguments] if known else self._function(*arguments)
        return self._recent[arguments]

    @classmethod
    def forget_unused(cls) -> None:
        """Say that a snapshot is finished."""
        for each in cls._all:
            each._before, each._recent = each._recent, {}
