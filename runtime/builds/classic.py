"""The engine's classic builder, for where no command line has BuildKit. A program of its own: it is killed like one.

Arguments: engine (blank: the machine's), context, Dockerfile, tag, network (blank: the engine's own), memory in bytes,
then the names of build arguments, whose values are in the environment. Prints the build's output; ends with status 1
and the reason when it fails.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import IO

import docker
from docker.errors import DockerException
from docker.utils.build import create_archive, exclude_paths

LARGEST_IGNORE_CHARACTERS = 1 << 20
NEEDS_BUILDKIT = (
    "unknown flag",
    "unknown instruction: <<",
    "the --mount option requires buildkit",
    "requires buildkit",
)


def main(argv: list[str]) -> int:
    """Build as the arguments say; the exit status."""
    host, context, dockerfile, tag, network, memory, *names = argv
    values = {name: os.environ.pop(name) for name in names}  # its own way to the engine is by no proxy
    try:
        engine = docker.APIClient(base_url=host or None, version="auto", timeout=3600)
        with tempfile.TemporaryFile() as archive:
            _pack(Path(context), Path(dockerfile), archive)
            output = engine.build(
                fileobj=archive,
                custom_context=True,
                dockerfile="Dockerfile.micro",
                tag=tag,
                rm=True,
                forcerm=True,
                decode=True,
                network_mode=network or None,
                container_limits={"memory": int(memory), "memswap": int(memory)},
                buildargs=values,
            )
            return _print(output)
    except (DockerException, OSError) as error:
        print(f"ERROR: {error}", flush=True)  # noqa: T201 - what it prints is the build's log
        return 1


def _pack(context: Path, dockerfile: Path, archive: IO[bytes]) -> None:
    """The context as the engine wants it: without what is ignored, our Dockerfile in it under a name of ours."""
    ignore = dockerfile.with_name(dockerfile.name + ".dockerignore")
    ignore = ignore if ignore.is_file() else context / ".dockerignore"
    lines = _beginning(ignore).splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    files = sorted(exclude_paths(str(context), patterns))
    ours = [("Dockerfile.micro", dockerfile.read_text())]
    create_archive(str(context), files=files, extra_files=ours, fileobj=archive)
    archive.seek(0)


def _beginning(path: Path) -> str:
    with path.open(errors="replace") as file:
        return file.read(LARGEST_IGNORE_CHARACTERS)


def _print(output: object) -> int:
    for part in output:  # type: ignore[attr-defined]
        if text := part.get("stream") or part.get("status"):
            print(str(text).rstrip("\n"), flush=True)  # noqa: T201
        if error := part.get("error"):
            print(f"ERROR: {error}{_hint(error)}", flush=True)  # noqa: T201
            return 1
    return 0


def _hint(error: str) -> str:
    is_newer = any(sign in error.lower() for sign in NEEDS_BUILDKIT)
    return " (this may need BuildKit: install the engine's buildx plugin)" if is_newer else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
