"""Two services that call each other by name through the door between services, and one next door that may not."""

from __future__ import annotations

from pathlib import Path

from server import Server

WHOAMI = """
from dataclasses import dataclass
from micro import Context, Service

@dataclass
class Request:
    pass

@dataclass
class Response:
    caller: str = ""
    of: str = ""

class Whoami:
    def call(self, request: Request, context: Context) -> Response:
        account = context.account
        if account is None:
            return Response()
        return Response(caller=account.id, of=account.issuer)

service = Service("whoami")
service.handle(Whoami())
service.run()
"""
CALLER = """
from dataclasses import dataclass
from micro import Client, Service
from micro.errors import Error

@dataclass
class Request:
    namespace: str = ""

@dataclass
class Response:
    said: str = ""

class Caller:
    def call(self, request: Request) -> Response:
        client = Client()
        if request.namespace:
            client = client.within(request.namespace)
        try:
            answer = client.call("whoami", "Whoami.Call", {})
        except Error as error:
            return Response(said="refused: " + str(error))
        return Response(said="called by " + answer["caller"] + " of " + answer["of"])

service = Service("caller")
service.handle(Caller())
service.run()
"""


def call_each_other(server: Server, folder: Path) -> None:
    """Run the story; raises AssertionError where it goes otherwise."""
    for name, text in {"whoami": WHOAMI, "caller": CALLER}.items():
        (folder / name).mkdir()
        (folder / name / "main.py").write_text(text)
        server.micro("run", folder / name, timeout_s=300)
    assert server.call("caller", "Caller.Call", {}) == {"said": "called by caller-latest-1 of micro"}
    stranger = server.user_of("stranger", secret="a long secret of a stranger's")
    stranger.micro("run", folder / "caller", timeout_s=300)
    for namespace in ("", "micro"):
        said = stranger.call("caller", "Caller.Call", {"namespace": namespace})["said"]
        assert str(said).startswith("refused: "), (namespace, said)
    stranger.micro("kill", "caller")
    server.micro("kill", "caller")
    server.micro("kill", "whoami")
