"""Log lines: one line per event, so that logs of many processes can be read together."""

from __future__ import annotations

import logging

FOLD = " \u23ce "


class Formatter(logging.Formatter):
    """The usual line, with every further line of a message or a traceback folded into it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        return super().format(record).rstrip().replace("\n", FOLD)
