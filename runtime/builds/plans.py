"""What a build will do, decided before it does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

SHELL = "/bin/sh"
DOCKERFILE = "Dockerfile"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a folder becomes a process. `evidence` names the files that say so."""

    language: str
    evidence: str
    line: str  # the start command as a shell line; $PORT and the rest of its environment are there
    line_from: str
    protocol: str = ""  # grpc, http, or blank: found out at the first start
    dependencies: str = ""  # requirements.txt, pyproject.toml, "." for the project itself, or blank
    server: str = ""  # gunicorn or uvicorn, installed unless it is there
    wants_micro: bool = False  # the platform's own wheel is installed, also where the dependencies name micro
    notes: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()  # files that installing the dependencies needs; blank: it needs all sources
    install: tuple[str, ...] = ()  # shell lines that install the dependencies
    ahead: tuple[str, ...] = ()  # and in an image compile them, before the sources are there
    build: tuple[str, ...] = ()  # shell lines that run once the sources are there
    tools: tuple[str, ...] = ()  # programs that these lines and the start command need
    folder: str = ""  # of a static site: which folder is served

    @property
    def is_image(self) -> bool:
        """Whether the source brings its own Dockerfile."""
        return self.language == DOCKERFILE

    def shown(self) -> Iterator[str]:
        """The plan in the words of the build log."""
        yield f"Detected {self.language}, from {self.evidence}."
        yield from self.notes
        yield f"Dependencies: {self.dependencies or 'none'}" + (" and the platform's micro" if self.wants_micro else "")
        for line in (*self.install, *self.build):
            yield f"Build command: {line}"
        yield f"Start command: {self.line or 'the one of the image'} (from {self.line_from})"
        yield f"Protocol: {self.protocol or 'found out at the first start'}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a finished build leaves: enough to make a release of it."""

    digest: str
    command: list[str]
    folder: str
    environment: str
    protocol: str
    image: str = ""  # the digest of a container image, where the backend runs those
    protos: str = ""  # its .proto files with their comments, a FileDescriptorSet in base64

    def save(self, path: Path) -> None:
        """Write it so that it is there whole or not at all."""
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.rename(path)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The artifact of an earlier attempt, if one was finished."""
        return cls(**json.loads(path.read_text())) if path.exists() else None
