"""What a tenant's Dockerfile may name: images of registries and its own stages, and nothing that the engine fetches.

The engine has the images of every namespace, and finds one by its name or the beginning of its id. It fetches what ADD
names from this machine's own network, so that loopback and metadata services would answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from micro.errors import InvalidArgument

_OTHER_ESCAPE = re.compile(r"^\s*#\s*escape\s*=\s*`", re.IGNORECASE | re.MULTILINE)
_OURS = re.compile(r"(?:(?:index\.)?docker\.io/)?(micro-[0-9a-f]+)/([^\s:@\"',]+)", re.IGNORECASE)
_ID = re.compile(r"(?:sha256:)?[0-9a-f]+(?:@.*)?", re.IGNORECASE)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?([-+])([^${}]*))?\})")


def require_own(dockerfile: str, *, server: str, namespace: str) -> None:
    """Raises InvalidArgument, naming it, for what a Dockerfile of that namespace may not name.

    Where another character may continue a line, both are tried: neither reading may name it.
    """
    for escape in ("\\", "`") if _OTHER_ESCAPE.search(dockerfile) else ("\\",):
        read = list(_instructions(dockerfile, escape))
        for named in (match for words in read for match in _OURS.finditer(" ".join(words))):
            _require_ours(named, server, namespace)
        for word in _images(read):
            _require_image(word, server, namespace)
        for words in read:
            _require_local(words)


def _instructions(dockerfile: str, escape: str) -> Iterator[list[str]]:
    """The words of each instruction, those of ONBUILD without it. Lines of a here-document count as instructions."""
    words: list[str] = []
    for raw in dockerfile.split("\n"):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        goes_on = line.endswith(escape)
        words += line.removesuffix(escape).split()
        if goes_on:
            continue
        yield words[1:] if words and words[0].upper() == "ONBUILD" else words
        words = []
    if words:
        yield words


def _images(read: Sequence[list[str]]) -> Iterator[str]:
    """Each image that is named, with variables put in, and without the names of earlier stages."""
    variables = _arguments(read)
    stages: set[str] = set()
    numbers: set[str] = set()  # only copying knows a stage by it
    for words in read:
        kind = words[0].upper() if words else ""
        flags, rest = _flags(words[1:])
        if kind == "FROM" and rest:
            if (image := _expanded(rest[0], variables)).lower() not in stages:
                yield image
            stages |= {rest[2].lower()} if len(rest) > 2 and rest[1].upper() == "AS" else set()
            numbers.add(str(len(numbers)))
        for flag in flags:
            named = _from(flag)
            if named and named.lower() not in stages | numbers:
                yield _expanded(named, variables)


def _flags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    flags = list(takewhile(lambda word: word.startswith("--"), words))
    return flags, list(words[len(flags) :])


def _from(flag: str) -> str:
    """The image or stage of `--from=` or of the `from=` of a `--mount=`."""
    name, _, value = flag.partition("=")
    value = value.replace('"', "").replace("'", "")
    if name.lower() == "--from":
        return value
    pairs = [part.partition("=") for part in value.split(",")] if name.lower() == "--mount" else []
    return next((said for key, _, said in pairs if key.strip().lower() == "from"), "")


def _arguments(read: Sequence[list[str]]) -> dict[str, str]:
    """What ARG gives before the first FROM: no other variable counts in an image's name."""
    found: dict[str, str] = {}
    for words in takewhile(lambda words: words[0].upper() != "FROM", filter(None, read)):
        for word in words[1:] if words[0].upper() == "ARG" else ():
            name, _, value = word.partition("=")
            found[name] = _expanded(value.strip("\"'"), found)
    return found


def _expanded(word: str, variables: Mapping[str, str]) -> str:
    """A word with its variables put in. Raises InvalidArgument for one that is not put in plainly."""

    def put_in(match: re.Match[str]) -> str:
        value = variables.get(match[1] or match[2], "")
        return {"-": value or match[4], "+": value and match[4]}.get(match[3], value)

    found = _VARIABLE.sub(put_in, word.strip("\"'"))
    if "$" in found or "\\" in found or "`" in found:
        raise InvalidArgument(f"The Dockerfile names the image {word[:200]!r}: write it without such variables.")
    return found


def _require_image(image: str, server: str, namespace: str) -> None:
    if named := _OURS.match(image):
        _require_ours(named, server, namespace)
    if _ID.fullmatch(image):
        raise InvalidArgument(
            f"The Dockerfile names the image {image[:200]!r} by its id: name it as a registry does, such as "
            "`docker.io/library/python:3.11-slim`."
        )


def _require_ours(named: re.Match[str], server: str, namespace: str) -> None:
    """Images that this server, or another on its engine, has built are their namespace's own."""
    if (named[1].lower(), named[2]) != (f"micro-{server}", namespace):
        raise InvalidArgument(f"The Dockerfile names {named[0][:200]!r}, an image of another namespace.")


def _require_local(words: Sequence[str]) -> None:
    kind = words[0].upper() if words else ""
    flags, rest = _flags(words[1:])
    if kind == "ADD" and any(_REMOTE.search(word) or "$" in word for word in rest[:-1] or rest):
        raise InvalidArgument(
            "The Dockerfile has an ADD that is fetched, or that a variable names: download it in a RUN step, or COPY."
        )
    for flag in flags if kind == "RUN" else ():
        name, _, value = flag.lower().partition("=")
        if name in {"--security", "--device"} or (name == "--network" and value not in {"none", "default"}):
            raise InvalidArgument(f"The Dockerfile has a step with {flag[:200]}, which no build here may have.")
