"""What the Docker backend costs: a redeploy against the same work by hand, and a runner that has nothing to do.

Needs root on Debian, or an engine with the base images; says so and measures nothing elsewhere.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "flows"), str(ROOT), str(ROOT / "platform")]

import django  # noqa: E402 - the folders above come first
import docker  # noqa: E402
import psutil  # noqa: E402
from server import Server, running_server  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
os.environ.setdefault("DATABASE_URL", "postgresql:///nobody-asks")
django.setup()

from runtime.builds import dockerfiles, images, plans  # noqa: E402

ROUNDS = 5
REPLICAS = 50
IDLE_S = 30
MOST_MORE_S, MOST_IDLE = 2.0, 0.03


def main() -> int:
    """Measure and print; status 1 when a gate is missed."""
    if subprocess.run([ROOT / "tests/engine/up"], check=False).returncode:
        return 0
    subprocess.run([ROOT / "tests/engine/images"], check=True)
    folder = Path(tempfile.mkdtemp(prefix="micro-bench-"))
    settings = {"MICRO_BACKEND": "docker", "MICRO_UNSAFE_BUILD_HOST_NETWORK": "1"}
    try:
        with running_server(folder, **settings) as server:
            more = redeploys(server, folder)
            idle = idles(server, folder / "app")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(more > MOST_MORE_S or idle > MOST_IDLE)


def redeploys(server: Server, folder: Path) -> float:
    """How much longer a redeploy takes than by hand, in seconds (medians)."""
    app = folder / "app"
    shutil.copytree(ROOT / "examples/helloworld", app)
    server.micro("run", app, timeout_s=300)
    ours = [timed(lambda: server.micro("update", app), change(app, n)) for n in range(ROUNDS)]
    context = by_hand(folder / "hand")
    hand = [timed(lambda: build_and_run(context), change(context / "app", n + ROUNDS)) for n in range(ROUNDS)]
    more = statistics.median(ours) - statistics.median(hand)
    print(f"redeploy of helloworld: {statistics.median(ours):.2f} s ({min(ours):.2f} to {max(ours):.2f})")
    print(f"docker build + run by hand: {statistics.median(hand):.2f} s ({min(hand):.2f} to {max(hand):.2f})")
    print(f"more: {more:.2f} s (gate {MOST_MORE_S:g} s)")
    return more


def change(app: Path, number: int) -> None:
    """Another source, so that its layer is built anew."""
    text = (ROOT / "examples/helloworld/main.py").read_text()
    (app / "main.py").write_text(f"{text}\n# {number}\n")


def timed(work: Callable[[], object], _prepared: None) -> float:
    """Seconds that `work` takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def by_hand(folder: Path) -> Path:
    """The same context and Dockerfile as the platform makes."""
    (folder / "app").mkdir(parents=True)
    (folder / "added").mkdir()
    wheel = next((ROOT / ".venv/share/micro").glob("*.whl"))
    shutil.copy(wheel, folder / "added")
    plan = plans.Plan("Python", "main.py", "exec python main.py", "main.py", wants_micro=True)
    recipe = dockerfiles.generate(plan, images=dockerfiles.Images(), wheel=wheel.name)
    (folder / "Dockerfile").write_text(recipe.text)
    for name, text in recipe.added.items():
        (folder / "added" / name).write_text(text)
    return folder


def build_and_run(context: Path) -> None:
    """Until the port answers; what ran is removed."""
    passed = {name: os.environ[name] for name in (*images.PROXIES, *images.INDEXES) if name in os.environ}
    arguments = [word for name in passed for word in ("--build-arg", name)]
    subprocess.run(
        [
            "/usr/bin/docker",
            "build",
            "--quiet",
            "--network",
            "host",
            "--tag",
            "micro-bench:1",
            *arguments,
            str(context),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env={"DOCKER_BUILDKIT": "1", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **passed},
    )
    engine = docker.from_env()
    container = engine.containers.run(
        "micro-bench:1", detach=True, environment={"PORT": "8080", "MICRO_SERVICE_ADDRESS": "0.0.0.0:8080"}
    )
    try:
        container.reload()
        address = container.attrs["NetworkSettings"]["IPAddress"]
        while socket.socket().connect_ex((address, 8080)):
            time.sleep(0.02)
    finally:
        container.remove(force=True)


def idles(server: Server, app: Path) -> float:
    """Which part of a core a runner with many replicas uses while nothing happens."""
    server.micro("update", "--instances", str(REPLICAS), app, timeout_s=300)
    time.sleep(20)  # the old replica drains and goes
    runner = server.named("manage.py runner")[0]
    used = -sum(psutil.Process(runner.pid).cpu_times()[:2])
    time.sleep(IDLE_S)
    share = (used + sum(psutil.Process(runner.pid).cpu_times()[:2])) / IDLE_S
    print(f"runner idle with {REPLICAS} replicas: {share:.1%} of a core (gate {MOST_IDLE:.0%})")
    return share


if __name__ == "__main__":
    sys.exit(main())
