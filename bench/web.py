"""The web pages: people sign up, 50 click, then 200 live logs are held open while pages are asked for.

Goals: a user with a namespace within 1 s of the code; 95 of 100 pages within 150 ms; every one of the 200 streams hears
a new line within 2 s. The clients share the machine with the server.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

from server import Server  # noqa: E402 - the folder above makes it importable

PEOPLE, CLICKING_S, PAUSE_S = 50, 20.0, (0.5, 1.5)
STREAMS = 200
ONE_BY_ONE, AT_ONCE = 12, 8  # sign-ups: as many codes as an address gets in an hour
PATHS = ("/n/micro/", "/n/micro/services/web", "/n/micro/deploy", "/n/micro/tokens")


def logged_in(server: Server) -> httpx.Cookies:
    """The cookies of an admin who has logged in by the form."""
    with httpx.Client(base_url=f"http://localhost:{server.web_port}") as client:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/login").text)
        assert token
        form = {"name": "admin", "password": "micro", "csrfmiddlewaretoken": token[1]}
        assert client.post("/login", data=form).status_code == 302
        return client.cookies


def signed_up(server: Server, number: int) -> float:
    """How long it takes from the code to the page of the new namespace, in seconds."""
    email = f"person{number}@example.org"
    with httpx.Client(base_url=f"http://localhost:{server.web_port}", timeout=60) as client:
        post(client, "/signup", email=email)
        mails = [path.read_text() for path in (server.home / "mail").iterdir()]
        code = next(
            found[1] for text in mails if (found := re.search(rf"To: {email}\n.*?^ +(\d{{6}})$", text, re.S | re.M))
        )
        started = time.perf_counter()
        form = {"email": email, "code": code, "password": "correct horse 7", "namespace": f"ns{number}"}
        made = post(client, "/signup/code", **form)
        assert client.get(made.headers["location"]).status_code == 200
        return time.perf_counter() - started


def post(client: httpx.Client, path: str, **form: str) -> httpx.Response:
    """Fill in the form of a page."""
    page = client.get(path, params={"email": form["email"]})
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token, page.text
    answer = client.post(path, data={**form, "csrfmiddlewaretoken": token[1]})
    assert answer.status_code == 302, answer.text
    return answer


def measure_sign_up(server: Server) -> None:
    """One after the other, then some at once."""
    alone = [signed_up(server, number) for number in range(ONE_BY_ONE)]
    report(f"{ONE_BY_ONE} sign-ups, one by one: user, namespace and its page, the slowest", max(alone), "s", 1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        together = list(pool.map(partial(signed_up, server), range(ONE_BY_ONE, ONE_BY_ONE + AT_ONCE)))
    report(f"{AT_ONCE} sign-ups at once: median", statistics.median(together), "s", 1)


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def report(what: str, value: float, unit: str, goal: float) -> None:
    """Print one figure against its goal."""
    verdict = "" if value <= goal else f"  MISSED by {value - goal:.1f} {unit}"
    print(f"{what:<62} {value:8.2f} {unit:<5} goal <= {goal:g}{verdict}", flush=True)


async def ask(client: httpx.AsyncClient, path: str) -> float:
    """How long a page takes, in milliseconds."""
    started = time.perf_counter()
    answer = await client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return (time.perf_counter() - started) * 1000


async def click(client: httpx.AsyncClient, until: float, taken: list[float]) -> None:
    """One person: a page, a look, the next page."""
    await asyncio.sleep(random.uniform(0, PAUSE_S[1]))
    while time.perf_counter() < until:
        taken.append(await ask(client, random.choice(PATHS)))
        await asyncio.sleep(random.uniform(*PAUSE_S))


async def listen(client: httpx.AsyncClient, began: asyncio.Queue[None], heard: asyncio.Queue[float], mark: str) -> None:
    """Hold one live log open; say when it began, and when the marked line came."""
    async with client.stream("GET", "/n/micro/services/web/stream", timeout=None) as answer:
        async for line in answer.aiter_lines():
            if line == "event: begin":
                await began.put(None)
            if mark in line:
                await heard.put(time.perf_counter())
                return


async def measure(server: Server, cookies: httpx.Cookies) -> None:
    """Both, one after the other."""
    base = f"http://localhost:{server.web_port}"
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=base, cookies=cookies, limits=limits, timeout=30) as client:
        for path in PATHS:
            await ask(client, path)
        taken: list[float] = []
        until = time.perf_counter() + CLICKING_S
        await asyncio.gather(*[click(client, until, taken) for _ in range(PEOPLE)])
        report(f"{PEOPLE} people clicking, {len(taken) / CLICKING_S:.0f} pages/s: page p95", p95(taken), "ms", 150)
        report("the same, median", statistics.median(taken), "ms", 150)

        began, heard = asyncio.Queue[None](), asyncio.Queue[float]()
        started = time.perf_counter()
        listeners = [asyncio.ensure_future(listen(client, began, heard, "marked-line")) for _ in range(STREAMS)]
        for _ in range(STREAMS):
            await asyncio.wait_for(began.get(), 60)
        report(f"{STREAMS} live logs opened at once, until the last one began", time.perf_counter() - started, "s", 10)
        while_held = [await ask(client, random.choice(PATHS)) for _ in range(100)]
        report(f"page p95 while {STREAMS} live logs are held", p95(while_held), "ms", 150)
        await asyncio.sleep(3)
        printed = time.perf_counter()
        server.get("/marked-line", host="web--micro.localhost")
        last = max([await asyncio.wait_for(heard.get(), 30) for _ in range(STREAMS)])
        report(f"a printed line until the last of {STREAMS} readers has it", last - printed, "s", 2)
        await asyncio.gather(*listeners)


def main() -> int:
    """Measure and print; no gate."""
    with tempfile.TemporaryDirectory(prefix="micro-bench-") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            server.login()
            measure_sign_up(server)
            server.micro("run", "examples/web")
            asyncio.run(measure(server, logged_in(server)))
        finally:
            server.stop()
            server.forget()
    return 0


if __name__ == "__main__":
    sys.exit(main())
