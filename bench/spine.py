"""From nothing to a good answer: start, run, restart and memory of a server of this run's own.

Gates: an installed server on an empty state is ready within 10 s; `micro run examples/helloworld`, dependencies
cached, gives its first good answer within 3 s. The rest is printed with its goal.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

from server import Server  # noqa: E402 - the folder above makes it importable

MIB = 1024 * 1024


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run_to_answer(server: Server) -> None:
    """`micro run examples/helloworld` and one request, retried until it is right."""
    server.micro("run", "examples/helloworld")
    while server.get("/helloworld?name=Joe").text.replace(" ", "") != '{"msg":"HelloJoe"}':
        time.sleep(0.01)


def memory_bytes(server: Server) -> dict[str, int]:
    """Proportional set size by kind of process: what each would free if it went."""
    sizes: dict[str, int] = {}
    for process in server.processes():
        line = " ".join(process.cmdline())
        kinds = ("postgres", "valkey", "nats", "gunicorn", "celery", "sidecar", "runner", "xds", "envoy", "server")
        kind = next((name for name in kinds if name in line), "other")
        sizes[kind] = sizes.get(kind, 0) + process.memory_full_info().pss
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def median(work: Callable[[], object], runs: int) -> float:
    """The median of some runs after one that does not count."""
    work()
    return statistics.median(seconds(work) for _ in range(runs))


def report(what: str, value: float, unit: str, limit: float, *, gate: bool) -> bool:
    """Print one figure against its limit; False when a gate is missed."""
    word = "gate" if gate else "goal"
    verdict = "" if value <= limit else f"  MISSED by {value - limit:.1f} {unit}"
    print(f"{what:<62} {value:8.2f} {unit:<5} {word} <= {limit:g}{verdict}", flush=True)
    return value <= limit or not gate


def main() -> int:
    """Measure, print, and fail when a gate is missed."""
    met = []
    with tempfile.TemporaryDirectory(prefix="micro-bench-") as folder:
        server = Server(Path(folder))
        met.append(report("micro server, installed, empty state, to ready", seconds(server.start), "s", 10, gate=True))
        try:
            server.login()
            time.sleep(5)
            sizes = memory_bytes(server)
            report(
                "idle memory of the whole server (proportional set size)",
                sum(sizes.values()) / MIB,
                "MiB",
                700,
                gate=False,
            )
            print("    " + ", ".join(f"{kind} {size / MIB:.0f}" for kind, size in sizes.items()))
            run_to_answer(server)
            server.micro("kill", "helloworld")
            time.sleep(2)
            met.append(
                report(
                    "micro run examples/helloworld, dependencies cached, to answer",
                    seconds(lambda: run_to_answer(server)),
                    "s",
                    3,
                    gate=True,
                )
            )
            report("stop, with one service running", server.stop(), "s", 10, gate=False)
            report("restart with state, to ready", seconds(server.start), "s", 10, gate=False)
            report(
                "... and from ready to the service's first good answer",
                seconds(lambda: answers_again(server)),
                "s",
                5,
                gate=False,
            )
        finally:
            if server.process and server.process.poll() is None:
                server.stop()
            server.forget()
    return 0 if all(met) else 1


def answers_again(server: Server) -> None:
    """Wait until the service that ran before the restart answers."""
    while server.get("/helloworld?name=Joe").status_code != 200:
        time.sleep(0.02)


if __name__ == "__main__":
    raise SystemExit(main())
