"""A service that does what it is told to with its own credentials alone: an attacker inside a tenant's service."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from server import Server

SOURCE = """
import json
from dataclasses import dataclass
from micro import Service
from micro.errors import Error

@dataclass
class Request:
    code: str = ""

@dataclass
class Response:
    said: str = ""
    refused: str = ""

class Inside:
    def run(self, request: Request) -> Response:
        names = {}
        try:
            exec(request.code, names)
        except Error as error:
            return Response(refused=f"{type(error).__name__}: {error.detail}")
        return Response(said=json.dumps(names.get("said")))

    def set_status(self, request: Request) -> Response:
        return Response(said="set")

service = Service("inside")
service.handle(Inside())
service.run()
"""


Call = tuple[str, str, dict[str, Any]]  # service, endpoint, request


class Inside:
    """The service under one of its names, as its owner calls it."""

    def __init__(self, owner: Server, name: str) -> None:
        self.owner, self.name = owner, name

    def run(self, code: str) -> dict[str, Any]:
        """What became of some Python inside the service: `said`, the value of that name, or `refused`, the error."""
        answer = self.owner.call(self.name, "Inside.Run", {"code": textwrap.dedent(code)})
        return {"said": json.loads(str(answer["said"]))} if answer.get("said") else answer

    def call(self, service: str, endpoint: str, request: dict[str, Any]) -> dict[str, Any]:
        """A call of a service by the service itself, in its own namespace."""
        return self.run(f"from micro import Client\nsaid = Client().call({service!r}, {endpoint!r}, {request!r})")

    def refused(self, *calls: Call) -> list[str]:
        """Why the service may do none of these; fails the test when it may do one."""
        answer = self.run(f"""
            from micro import Client
            from micro.errors import Error
            said = []
            for call in {calls!r}:
                try:
                    said.append(["let through", str(Client().call(*call))])
                except Error as error:
                    said.append([type(error).__name__, error.detail])
        """)
        for (_, endpoint, request), (kind, detail) in zip(calls, answer["said"], strict=True):
            assert kind == "PermissionDenied", (endpoint, request, kind, detail)
        return [detail for _, detail in answer["said"]]


def deploy(owner: Server, folder: Path, name: str, *flags: str) -> Inside:
    """Run it under a name."""
    source = folder / name
    source.mkdir(parents=True, exist_ok=True)
    (source / "main.py").write_text(SOURCE)
    owner.micro("run", source, "--name", name, *flags, timeout_s=300)
    return Inside(owner, name)
