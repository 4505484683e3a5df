from __future__ import annotations

from dataclasses import dataclass

from micro import Service


@dataclass
class Request:
    name: str = ""


@dataclass
class Response:
    msg: str = ""


class Helloworld:
    def call(self, request: Request) -> Response:
        """Greets by name."""
        return Response(msg=f"Hello {request.name}")


service = Service("helloworld")
service.handle(Helloworld())
service.run()
