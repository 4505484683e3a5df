"""Acknowledged publishes against a bare grpcio echo in the same run; consuming; what idle streams cost.

Each server is one process of grpcio-asyncio on uvloop on a Unix socket; NATS syncs every write. Publishes are spread
over 500 namespaces, 64 at a time, each with a token of its namespace. Every round measures the echo beside them; the
ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import nats
import psutil
import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

NAMESPACES = 500
PAYLOAD = b"x" * 100
CALLERS = 64
ROUNDS = 5
ROUND_S = 3.0
PUBLISH_GATE = 0.35
STORED = 60_000
CONSUME_GOAL = 10_000
IDLE = 5000
AT_ONCE = 100

Metadata = tuple[tuple[str, str], ...]


def main() -> int:
    """Measure, print, and fail when a gate is missed."""
    if len(sys.argv) > 1:
        role = {"echo": serve_echo, "sidecar": serve_sidecar}[sys.argv[1]]
        asyncio.Runner(loop_factory=uvloop.new_event_loop).run(role(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory(prefix="micro-bench-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        stack.enter_context(event_server(folder))
        stack.enter_context(database(folder))
        tokens = prepare()
        stack.enter_context(process("echo", folder / "echo.sock"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            with process("sidecar", folder / "sidecar.sock"):
                is_met = runner.run(measure(folder, tokens))
            for what, make in idle_ways().items():
                with process("sidecar", folder / "sidecar.sock") as sidecar:
                    runner.run(idling(folder, tokens, psutil.Process(sidecar.pid), what=what, make=make))
        return 0 if is_met else 1


async def measure(folder: Path, tokens: dict[str, str]) -> bool:
    """Publishing, then consuming; whether the gate is met."""
    async with (
        grpc.aio.insecure_channel(f"unix:{folder / 'echo.sock'}") as echo,
        grpc.aio.insecure_channel(f"unix:{folder / 'sidecar.sock'}") as events,
    ):
        is_met = await publishing(echo, events, tokens)
        await consuming(events, tokens)
    return is_met


async def publishing(echo: grpc.aio.Channel, events: grpc.aio.Channel, tokens: dict[str, str]) -> bool:
    """Rounds of publishes, each beside its echo; whether the gate is met."""
    from micro.proto import events_pb2 as pb

    request = pb.PublishRequest(topic="orders", payload=PAYLOAD).SerializeToString()
    publish, bare = events.unary_unary("/events.Stream/Publish"), echo.unary_unary("/echo.Echo/Call")
    credentials = [bearer(token) for token in tokens.values()]
    began = time.perf_counter()
    left = iter(credentials)
    await asyncio.gather(*(caller(publish, request, left, float("inf")) for _ in range(CALLERS)))
    print(f"first publish in each of {NAMESPACES} namespaces {time.perf_counter() - began:8.2f} s", flush=True)
    rates: dict[str, list[float]] = {"publish": [], "echo": []}
    for _ in range(ROUNDS):
        rates["echo"].append(await rate(bare, request, [()]))
        rates["publish"].append(await rate(publish, request, credentials))
    ratio = statistics.median(own / other for own, other in zip(rates["publish"], rates["echo"], strict=True))
    own, other = (statistics.median(rates[name]) for name in ("publish", "echo"))
    verdict = "" if ratio >= PUBLISH_GATE else f"  MISSED by {PUBLISH_GATE - ratio:.2f}"
    rates_said = f"{own:6.0f}/s  echo {other:6.0f}/s  ratio {ratio:.2f}"
    print(f"Events.Publish acknowledged {rates_said}  gate >= {PUBLISH_GATE}{verdict}", flush=True)
    return ratio >= PUBLISH_GATE


async def consuming(events: grpc.aio.Channel, tokens: dict[str, str]) -> None:
    """Events a second to one consumer, of those that are stored, in each way of consuming."""
    from micro.proto import events_pb2 as pb

    slug, token = next(iter(tokens.items()))
    await store(slug)
    ways = {
        "Consume without a group, replayed": pb.ConsumeRequest(auto_ack=True, after=0),
        "Consume in a group, acknowledged when sent": pb.ConsumeRequest(auto_ack=True, after=0, group="auto"),
        "Consume in a group, acknowledged one by one": pb.ConsumeRequest(ack_wait=60 * 10**9, after=0, group="own"),
    }
    for what, request in ways.items():
        request.topic = "bench"
        call = events.stream_stream(
            "/events.Stream/Consume",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.Event.FromString,
        )(metadata=bearer(token))
        began = time.perf_counter()
        await call.write(request)
        for _ in range(STORED):
            event = await call.read()
            if not request.auto_ack:
                await call.write(pb.AckRequest(id=event.id, success=True))
        per_s = STORED / (time.perf_counter() - began)
        call.cancel()
        verdict = "" if per_s >= CONSUME_GOAL else f"  MISSED by {CONSUME_GOAL - per_s:.0f}"
        print(f"{what:<44} {per_s:8.0f} events/s  goal >= {CONSUME_GOAL}{verdict}", flush=True)


async def store(slug: str) -> None:
    """Many events in one namespace's topic, by the shortest way."""
    from micro.proto import events_pb2 as pb
    from primitives.events import subjects

    connection = await nats.connect(os.environ["NATS_URL"])
    body = pb.Event(topic="bench", payload=PAYLOAD, timestamp=1)

    async def some(numbers: Iterator[int]) -> None:
        for number in numbers:
            body.id = str(number)
            await connection.request(subjects.topic(slug, "bench"), body.SerializeToString(), timeout=10)

    numbers = iter(range(STORED))
    await asyncio.gather(*(some(numbers) for _ in range(CALLERS)))
    await connection.close()


def idle_ways() -> dict[str, Callable[[int], Any]]:
    """How consumers wait for what does not come: what the nth of them asks for."""
    from micro.proto import events_pb2 as pb

    return {
        "followers of one topic per namespace": lambda _: pb.ConsumeRequest(topic="idle", auto_ack=True),
        "followers of a topic each": lambda nth: pb.ConsumeRequest(topic=f"idle-{nth}", auto_ack=True),
        "groups of a topic each": lambda nth: pb.ConsumeRequest(topic=f"idle-{nth}", auto_ack=True, group="g"),
    }


async def idling(
    folder: Path, tokens: dict[str, str], sidecar: psutil.Process, *, what: str, make: Callable[[int], Any]
) -> None:
    """What an open stream costs that nothing comes on."""
    calls: list[Any] = []
    async with AsyncExitStack() as stack:
        target, options = f"unix:{folder / 'sidecar.sock'}", (("grpc.use_local_subchannel_pool", 1),)
        several = [
            await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options)) for _ in range(10)
        ]
        credentials = itertools.cycle(tokens.values())
        for _ in range(len(tokens)):  # every token verified, every stream known
            await settle(several[0], next(credentials))
        before, began = sidecar.memory_full_info().uss, time.perf_counter()
        for nth in range(IDLE):
            token, channel = next(credentials), several[nth % len(several)]
            call = channel.stream_stream("/events.Stream/Consume")(metadata=bearer(token))
            await call.write(make(nth).SerializeToString())
            calls.append(call)
            if nth % AT_ONCE == 0:  # a server that has not taken up a thousand calls yet refuses more
                await settle(channel, token)
        await settle(several[0], next(credentials))
        took = time.perf_counter() - began
        await asyncio.sleep(2)
        each = (sidecar.memory_full_info().uss - before) / IDLE / 1024
        print(f"{IDLE} idle {what:<38} {each:6.1f} KiB each in the sidecar, open in {took:.0f} s", flush=True)
        for call in calls:
            call.cancel()


async def settle(channel: grpc.aio.Channel, token: str) -> None:
    """Let the server take up what it has been asked."""
    from micro.proto import events_pb2 as pb

    for _ in range(3):
        request = pb.ReadRequest(topic="none", limit=1).SerializeToString()
        await channel.unary_unary("/events.Store/Read")(request, metadata=bearer(token))


class channels:
    """Ten connections of their own."""

    def __init__(self, folder: Path) -> None:
        self._target = f"unix:{folder / 'sidecar.sock'}"

    async def __aenter__(self) -> list[grpc.aio.Channel]:
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._open = [grpc.aio.insecure_channel(self._target, options=options) for _ in range(10)]
        return self._open

    async def __aexit__(self, *_exception: object) -> None:
        for channel in self._open:
            await channel.close()


def bearer(token: str) -> Metadata:
    """What proves who calls."""
    return (("authorization", f"Bearer {token}"),)


async def rate(method: Any, request: bytes, credentials: list[Any]) -> float:
    """Calls per second, with so many callers that each waits for its answer."""
    left = itertools.cycle(credentials)
    began = time.perf_counter()
    counts = await asyncio.gather(*(caller(method, request, left, began + ROUND_S) for _ in range(CALLERS)))
    return sum(counts) / (time.perf_counter() - began)


async def caller(method: Any, request: bytes, credentials: Iterator[Any], until: float) -> int:
    """Call after call; how many were answered."""
    count = 0
    for metadata in credentials:
        await method(request, metadata=metadata)
        count += 1
        if time.perf_counter() > until:
            break
    return count


@contextmanager
def event_server(folder: Path) -> Iterator[None]:
    """A NATS of this run's own, as `micro server` starts it; refuses to measure one that does not sync."""
    from project.embedded import nats as embedded

    port, monitor = free_port(), free_port()
    config = folder / "nats.conf"
    text = embedded.config(folder=folder / "js", port=port, password="bench")  # noqa: S106
    config.write_text(f'{text}http: "127.0.0.1:{monitor}"\n')
    server = subprocess.Popen(embedded.command(config), stderr=subprocess.DEVNULL)
    try:
        os.environ["NATS_URL"] = embedded.url(port, "bench")
        wait_for(socket.AF_INET, ("127.0.0.1", port))
        with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/varz") as answer:
            assert json.load(answer)["jetstream"]["config"]["sync_always"] is True
        yield
    finally:
        server.terminate()
        server.wait(60)


@contextmanager
def database(folder: Path) -> Iterator[None]:
    """A Postgres of this run's own, with the server's tables; the environment points to it."""
    from project.embedded import postgres

    postgres.initialise(folder / "data")
    server = postgres.start(folder / "data", folder / "s")
    try:
        os.environ |= {
            "DATABASE_URL": f"postgresql://micro@/postgres?host={folder / 's'}",
            "MICRO_HOME": str(folder / "home"),
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
        wait_for(socket.AF_UNIX, str(folder / "s" / ".s.PGSQL.5432"))
        command = [sys.executable, "manage.py", "migrate_schemas", "--shared", "-v0"]
        while subprocess.run(command, cwd=ROOT, check=False).returncode:
            time.sleep(0.2)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(10)


def prepare() -> dict[str, str]:
    """The namespaces, as rows without schemas, and a token for each."""
    import django

    django.setup()
    from django.utils.timezone import now

    from primitives.auth import keys, tokens
    from tenants.models import Environment, Namespace, Plan
    from transport.callers import Account

    plan = Plan.objects.create(name="default")
    environment = Environment.objects.create(name="local", base_domain="localhost", plan=plan)
    slugs = [f"bench-{number}" for number in range(NAMESPACES)]
    Namespace.objects.bulk_create(
        Namespace(slug=slug, schema_name=f"ns_bench_{slug}", environment=environment) for slug in slugs
    )
    keys.signer()
    return {
        slug: tokens.issue(
            Account(id="bench", type="service", issuer=slug, name="bench"), at=now(), expiry=timedelta(hours=1)
        )
        for slug in slugs
    }


@contextmanager
def process(role: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """This file again, as a server on a Unix socket."""
    server = subprocess.Popen([sys.executable, __file__, role, str(path)])
    try:
        wait_for(socket.AF_UNIX, str(path))
        yield server
    finally:
        server.terminate()
        server.wait(60)


def wait_for(family: int, address: Any) -> None:
    """Return when somebody listens there."""
    while True:
        with socket.socket(family) as probe:
            if probe.connect_ex(address) == 0:
                return
        time.sleep(0.05)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def serve_echo(path: str) -> None:
    """The bare server: bytes in, the same bytes out."""

    async def answer(payload: bytes, _context: Any) -> bytes:
        return payload

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", {"Call": handler}),))
    await run(server, path)


async def serve_sidecar(path: str) -> None:
    """The sidecar's server with the table that is measured."""
    import django

    django.setup()
    from primitives.auth.tokens import Verifier
    from primitives.events import rpc as events
    from transport.server import OPTIONS, Server

    server = grpc.aio.server(options=OPTIONS)
    Server({"events": events.METHODS}, identify=Verifier().identify).mount(server)
    await run(server, path)


async def run(server: grpc.aio.Server, path: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    await stop.wait()
    await server.stop(None)


if __name__ == "__main__":
    raise SystemExit(main())
