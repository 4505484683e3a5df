"""bash's words: it takes a word apart at each colon, and inserts what it is given without quoting it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from click.shell_completion import CompletionItem

Item = CompletionItem[str]
COLONS = re.compile(r":+")
UNSAFE = re.compile(r"([^\w@%+=:,./~-])")  # what bash reads as more than itself
QUOTES = ("'", '"')


def for_bash(args: list[str], typed: str, offered: Callable[[list[str], str], list[Item]]) -> list[Item]:
    """What is offered after `args` where `typed` is begun, less what bash keeps: all up to the last colon."""
    *args, whole = joined([*args, typed])
    is_quoted = _raw_word().startswith(QUOTES)  # then the colons are in the word, and bash quotes what it inserts
    begun = "" if is_quoted else whole[: whole.rfind(":") + 1]
    items = [item for item in offered(args, whole) if item.value.startswith(begun) or item.type != "plain"]
    return [Item(_quoted(item, begun, is_quoted=is_quoted), type=item.type, help=item.help) for item in items]


def joined(words: list[str]) -> list[str]:
    """`a`, `:`, `b` as `a:b`; an option, or a `=`, ends where a colon comes."""
    whole: list[str] = []
    is_open = False  # the last word ends with a colon
    for word in words:
        is_colon = bool(COLONS.fullmatch(word))
        if is_open or (is_colon and whole and whole[-1] != "=" and not whole[-1].startswith("-")):
            whole[-1] += word
        else:
            whole.append(word)
        is_open = is_colon
    return whole


def _quoted(item: Item, begun: str, *, is_quoted: bool) -> str:
    left = str(item.value)[len(begun) :]
    # Its script reads our lines with `read`, which takes one of the two backslashes.
    return left if is_quoted or item.type != "plain" else UNSAFE.sub(r"\\\\\1", left)


def _raw_word() -> str:
    """The word under the cursor as it is typed, quotes and all."""
    words, position = os.environ.get("COMP_WORDS", "").split("\n"), os.environ.get("COMP_CWORD", "")
    return words[int(position)] if position.isdigit() and int(position) < len(words) else ""
