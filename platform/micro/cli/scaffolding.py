"""From the templates in `micro/scaffolds` to the files of a new service.

Templates are written for a service named `scaffold-name`, so that they are code like any other: the names are replaced.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

LANGUAGES = ("python", "go", "node")
SUFFIX = ".tmpl"
# What templates name their own things.
TAKEN = {"Request", "Response", "StreamingRequest", "StreamingResponse", "Ping", "Pong", "Service"}
RAW_DESCRIPTOR = re.compile(r'(?P<head>const file_\w+_rawDesc = "" \+\n)(?P<literal>(?:\t".*"(?: \+)?\n)+)')
ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}


def identifier(name: str) -> str:
    """A service's name as code has it in lower case: foo-bar is foobar."""
    plain = re.sub(r"\W", "", name, flags=re.ASCII)
    return plain if plain[0].isalpha() else f"service{plain}"


def type_name(name: str) -> str:
    """A service's name as a type: foo-bar is FooBar."""
    camel = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W", name, flags=re.ASCII))
    if camel in TAKEN or keyword.iskeyword(camel):
        return f"{camel}Service"
    return camel if camel[0].isalpha() else f"Service{camel}"


def scaffold(name: str, language: str) -> dict[str, str]:
    """The files of a new service by their paths, in order."""
    own = type_name(name)
    names = {
        "scaffold-name": name,
        "scaffoldname": identifier(name),
        "scaffoldName": own[0].lower() + own[1:],
        "ScaffoldName": own,
    }
    templates = files("micro") / "scaffolds" / language
    made = {_renamed(path, names): _filled(text, names) for path, text in _texts(templates)}
    return dict(sorted(made.items(), key=lambda item: ("/" not in item[0], item[0])))


def _texts(folder: Traversable, inside: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts(entry, f"{inside}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            path = entry.name.removesuffix(SUFFIX)
            yield f"{inside}{'.gitignore' if path == 'gitignore' else path}", entry.read_text("utf-8")


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return re.sub("|".join(names), lambda found: names[found[0]], text)


def _filled(text: str, names: Mapping[str, str]) -> str:
    found = RAW_DESCRIPTOR.search(text)
    if not found:
        return _renamed(text, names)
    before, after = text[: found.start("literal")], text[found.end("literal") :]
    return _renamed(before, names) + _descriptor(found["literal"], names) + _renamed(after, names)


# What protoc-gen-go writes of a proto is its descriptor, serialized: names in it have their lengths before them.


def _descriptor(literal: str, names: Mapping[str, str]) -> str:
    from google.protobuf import text_format
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    file = FileDescriptorProto.FromString(_bytes(literal))
    renamed = text_format.Parse(_renamed(text_format.MessageToString(file), names), FileDescriptorProto())
    return _literal(renamed.SerializeToString())


def _bytes(literal: str) -> bytes:
    """The bytes of the strings of a Go expression."""
    text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literal))
    escape = re.compile(r"\\(?:x(?P<hex>[0-9a-f]{2})|(?P<letter>.))")
    return escape.sub(
        lambda found: chr(int(found["hex"], 16) if found["hex"] else ESCAPES[found["letter"]]), text
    ).encode("latin-1")


def _literal(data: bytes) -> str:
    """Go strings of the bytes, a line of them after each newline."""
    letters = {code: f"\\{letter}" for letter, code in ESCAPES.items()}
    lines = re.findall(rb"[^\n]*\n|[^\n]+", data)
    texts = [
        "".join(letters.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}") for byte in line)
        for line in lines
    ]
    return " +\n".join(f'\t"{text}"' for text in texts) + "\n"
