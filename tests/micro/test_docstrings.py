"""What the author of a handler writes is what its caller reads."""

from __future__ import annotations

from micro.cli.dynamic.endpoints import endpoints_of
from micro.proto import registry_pb2
from tests.micro.conftest import eventually

SERVICE = '''
from dataclasses import dataclass, field
from enum import Enum
from micro import Service

class Colour(Enum):
    RED = "r"
    BLUE = "b"

@dataclass
class Request:
    """What to paint."""

    name: str = ""
    """Whose door it is;
    nobody's when blank."""
    colour: Colour = Colour.RED
    "Which colour."
    plain: int = 0

@dataclass
class Answer:
    said: str = ""

class Painter:
    """Paints doors."""

    def paint(self, request: Request) -> Answer:
        """Paints a door.

        Twice, if it must.
        """
        return Answer(f"{request.name} {request.colour.name}")

    def rest(self, request: Request) -> Answer:
        return Answer()

service = Service("painter")
service.handle(Painter())
service.run()
'''


def test_docstrings_reach_the_registry_and_the_help(user, sidecar, start):
    start(SERVICE, HOME=str(user.home), MICRO_PROXY=sidecar.address)
    eventually(lambda: ("micro", "painter") in sidecar.registered)
    done = user.micro("painter", "paint", "--help").stdout
    assert "DESCRIPTION:\n\tPaints a door.\n\n\tTwice, if it must.\n" in done
    lines = [" ".join(line.split()) for line in done.splitlines()]
    assert "--name string Whose door it is; nobody's when blank." in lines
    assert "--colour Colour Which colour. One of RED, BLUE." in lines
    assert "--plain int64" in lines
    commands = user.micro("painter", "--help").stdout
    assert "\n\tpaint   Paints a door.\n\trest" in commands
    assert '"RED' not in user.micro("painter", "paint", "--name=Joe", "--colour=blue").stdout


def test_reflection_brings_the_comments_too(start):
    import grpc

    from micro import reflecting

    running = start(SERVICE, MICRO_SERVICE_ADDRESS="127.0.0.1:0")
    with grpc.insecure_channel(running.address) as channel:
        described = reflecting.describe(channel)
    known = endpoints_of([registry_pb2.Service(name="painter", descriptors=described)])
    assert [endpoint.comment.partition("\n")[0] for endpoint in known] == ["Paints a door.", ""]
