"""Store, config and auth through the sidecar's server, against a bare grpcio echo in the same run.

Each server is one process of grpcio-asyncio on uvloop on a Unix socket; the callers are the same, 64 at a time. The
keys are spread over 500 namespaces, each called with a token of its own. Every round measures the echo beside the rest,
and a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import psutil
import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

NAMESPACES = 500
KEYS = 20  # of each namespace
VALUE = b"x" * 100
CALLERS = 64
ROUNDS = 5
ROUND_S = 3.0
LIMITS = {
    "Store.Read": (0.4, "gate"),
    "Store.Write": (0.3, "gate"),
    "Config.Get": (0.5, "goal"),
    "Auth.Inspect": (0.7, "goal"),
}
STEADY_RATE = 1000  # calls per second, for the time that each call takes
ADDED_P90_MS = 1.4
WATCHES = 5000

Call = tuple[str, bytes, tuple[tuple[str, str], ...]]  # path, request, metadata


def main() -> int:
    """Measure, print, and fail when a gate is missed."""
    if len(sys.argv) > 1:
        role = {"echo": serve_echo, "sidecar": serve_sidecar}[sys.argv[1]]
        asyncio.Runner(loop_factory=uvloop.new_event_loop).run(role(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory(prefix="micro-bench-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        stack.enter_context(database(folder))
        tokens = prepare()
        pids = {role: stack.enter_context(process(role, folder / f"{role}.sock")) for role in ("echo", "sidecar")}
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measure(folder, tokens, pids))


async def measure(folder: Path, tokens: dict[str, str], pids: dict[str, int]) -> int:
    """Every round beside its echo; 1 when a gate is missed."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with (
        grpc.aio.insecure_channel(f"unix:{folder / 'echo.sock'}", options=options) as echo,
        grpc.aio.insecure_channel(f"unix:{folder / 'sidecar.sock'}", options=options) as sidecar,
    ):
        work = {name: list(calls) for name, calls in requests(tokens).items()}
        for name in ("Store.Write", "Config.Set"):
            await each(sidecar, work[name])
        await each(sidecar, work["Store.Read"])  # verifies every token once
        rates: dict[str, list[float]] = {name: [] for name in ("echo", *LIMITS)}
        for _ in range(ROUNDS):
            rates["echo"].append(await rate(echo, work["echo"]))
            for name in LIMITS:
                rates[name].append(await rate(sidecar, work[name]))
        met = [report(name, rates, *limit) for name, limit in LIMITS.items()]
        await report_times(echo, sidecar, work)
        await report_watches(sidecar, work["Config.Get"], pids["sidecar"])
    return 0 if all(met) else 1


def requests(tokens: dict[str, str]) -> dict[str, Iterator[Call]]:
    """The calls of each kind, in an order that jumps from namespace to namespace."""
    from micro.proto import auth_pb2, config_pb2, store_pb2

    places = [(slug, f"key-{number}") for number in range(KEYS) for slug in tokens]

    def calls(path: str, make: Any, among: list[tuple[str, str]]) -> Iterator[Call]:
        for slug, key in among:
            yield path, make(key).SerializeToString(), (("authorization", f"Bearer {tokens[slug]}"),)

    def write(key: str) -> Any:
        return store_pb2.WriteRequest(record={"key": key, "value": VALUE})

    def set_value(path: str) -> Any:
        return config_pb2.SetRequest(path=path, value={"data": '"' + VALUE.decode() + '"'})

    one_each = places[: len(tokens)]
    inspected = {slug: auth_pb2.InspectRequest(token=token).SerializeToString() for slug, token in tokens.items()}
    return {
        "echo": iter([("/echo.Echo/Call", write("key-1").SerializeToString(), ())]),
        "Store.Write": calls("/store.Store/Write", write, places),
        "Store.Read": calls("/store.Store/Read", lambda key: store_pb2.ReadRequest(key=key), places),
        "Config.Set": calls("/config.Config/Set", set_value, one_each),
        "Auth.Inspect": (("/auth.Auth/Inspect", inspected[slug], ()) for slug in tokens),
        "Config.Get": calls("/config.Config/Get", lambda path: config_pb2.GetRequest(path=path), one_each),
    }


async def each(channel: grpc.aio.Channel, calls: list[Call]) -> None:
    """Make every call once, some at a time."""
    left = iter(calls)
    await asyncio.gather(*(caller(channel, left, float("inf")) for _ in range(CALLERS)))


async def rate(channel: grpc.aio.Channel, calls: list[Call]) -> float:
    """Calls per second, with so many callers that each waits for its answer."""
    left = itertools.cycle(calls)
    began = time.perf_counter()
    counts = await asyncio.gather(*(caller(channel, left, began + ROUND_S) for _ in range(CALLERS)))
    return sum(counts) / (time.perf_counter() - began)


async def caller(channel: grpc.aio.Channel, calls: Iterator[Call], until: float) -> int:
    """Call after call; how many were answered."""
    methods: dict[str, Any] = {}
    count = 0
    for path, request, metadata in calls:
        if path not in methods:
            methods[path] = channel.unary_unary(path)
        await methods[path](request, metadata=metadata)
        count += 1
        if time.perf_counter() > until:
            break
    return count


async def times_ms(channel: grpc.aio.Channel, calls: list[Call]) -> list[float]:
    """How long each call takes, at a steady rate that waits for nobody."""
    taken: list[float] = []
    method = channel.unary_unary(calls[0][0])

    async def timed(call: Call) -> None:
        began = time.perf_counter()
        await method(call[1], metadata=call[2])
        taken.append((time.perf_counter() - began) * 1000)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for nth, call in enumerate(itertools.islice(itertools.cycle(calls), int(STEADY_RATE * ROUND_S))):
            await asyncio.sleep(max(0.0, start + nth / STEADY_RATE - time.perf_counter()))
            group.create_task(timed(call))
    return taken


async def report_times(echo: grpc.aio.Channel, sidecar: grpc.aio.Channel, work: dict[str, list[Call]]) -> None:
    """What each kind of call takes longer than the echo, at the 90th percentile."""
    bare = statistics.quantiles(await times_ms(echo, work["echo"]), n=10)[-1]
    for name in LIMITS:
        added = statistics.quantiles(await times_ms(sidecar, work[name]), n=10)[-1] - bare
        verdict = "" if added <= ADDED_P90_MS else f"  MISSED by {added - ADDED_P90_MS:.2f} ms"
        print(f"{name:<12} added p90 at {STEADY_RATE}/s {added:8.2f} ms    goal <= {ADDED_P90_MS}{verdict}", flush=True)


async def report_watches(sidecar: grpc.aio.Channel, gets: list[Call], pid: int) -> None:
    """What so many open streams on which nothing happens cost the server."""
    from micro.proto import config_pb2

    watch = sidecar.unary_stream("/config.Revisions/Watch")
    request = config_pb2.WatchRequest(path="key-0").SerializeToString()
    before = psutil.Process(pid).memory_info().rss
    streams = [watch(request, metadata=gets[nth % len(gets)][2]) for nth in range(WATCHES)]
    for stream in streams:
        await stream.read()
    each_kib = (psutil.Process(pid).memory_info().rss - before) / WATCHES / 1024
    print(f"{WATCHES} idle watches {each_kib:8.1f} KiB each", flush=True)
    for stream in streams:
        stream.cancel()


def report(name: str, rates: dict[str, list[float]], least: float, word: str) -> bool:
    """Print one ratio against its limit; False when a gate is missed."""
    ratio = statistics.median(own / echo for own, echo in zip(rates[name], rates["echo"], strict=True))
    verdict = "" if ratio >= least else f"  MISSED by {least - ratio:.2f}"
    own, echo = (statistics.median(rates[kind]) for kind in (name, "echo"))
    print(f"{name:<12} {own:8.0f}/s  echo {echo:8.0f}/s  ratio {ratio:.2f}  {word} >= {least}{verdict}", flush=True)
    return ratio >= least or word != "gate"


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
        while not (folder / "s" / ".s.PGSQL.5432").exists():
            time.sleep(0.02)
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
    hour = timedelta(hours=1)
    return {
        slug: tokens.issue(Account(id="bench", type="service", issuer=slug, name="bench"), at=now(), expiry=hour)
        for slug in slugs
    }


@contextmanager
def process(role: str, path: Path) -> Iterator[int]:
    """This file again, as a server on a Unix socket; its process id."""
    server = subprocess.Popen([sys.executable, __file__, role, str(path)])
    try:
        wait_for(path)
        yield server.pid
    finally:
        server.terminate()
        server.wait(10)


def wait_for(path: Path) -> None:
    """Return when somebody listens on the socket."""
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.05)


async def serve_echo(path: str) -> None:
    """The bare server: bytes in, the same bytes out."""

    async def answer(payload: bytes, _context: Any) -> bytes:
        return payload

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", {"Call": handler}),))
    await run(server, path)


async def serve_sidecar(path: str) -> None:
    """The sidecar's server with the tables that are measured."""
    import django

    django.setup()
    from primitives.auth import rpc as auth
    from primitives.auth.tokens import verifier
    from primitives.config import rpc as config
    from primitives.rules.gatekeeper import Gatekeeper
    from primitives.store import rpc as store
    from transport.server import OPTIONS, Server

    tables = {"auth": auth.METHODS, "store": store.METHODS, "config": config.METHODS}
    gatekeeper = Gatekeeper()
    await gatekeeper.load()
    server = grpc.aio.server(options=OPTIONS)
    Server(tables, identify=verifier.get().identify, permit=gatekeeper.permit).mount(server)
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
