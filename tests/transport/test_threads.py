"""Threads are shared: nobody's calls take all of them, and what hashes secrets waits for nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from transport import threads


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What held calls wait for; open at the end of the test."""
    gate = threading.Event()
    yield gate
    gate.set()


async def call(who: str, function, *, hashes: bool = False) -> object:
    threads.whose.set(who)
    threads.hashes.set(hashes)
    return await threads.run(function)


def held(who: str, gate: threading.Event, count: int, **options: bool) -> list[asyncio.Task[object]]:
    """Calls on somebody's behalf that last until the gate opens."""
    return [asyncio.create_task(call(who, lambda: gate.wait(10), **options)) for _ in range(count)]


async def test_a_hundred_slow_calls_of_one_caller_leave_threads_for_others(gate):
    slow = held("mallory", gate, 100)
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(call("joe", lambda: "served"), 2) == "served"
    assert await asyncio.wait_for(call("", lambda: "served"), 2) == "served"
    gate.set()
    assert all(await asyncio.gather(*slow))


async def test_a_login_does_not_wait_for_what_else_is_asked_for_nor_the_other_way_round(gate):
    slow = [*held("a", gate, 9), *held("b", gate, 9), *held("c", gate, 9)]
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(call("joe", lambda: "in", hashes=True), 2) == "in"
    gate.set()
    await asyncio.gather(*slow)
    gate.clear()
    logins = [*held("a", gate, 9, hashes=True), *held("b", gate, 9, hashes=True)]
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(call("a", lambda: "served"), 2) == "served"
    gate.set()
    await asyncio.gather(*logins)


async def test_who_is_told_no_while_waiting_leaves_no_trace(gate):
    slow = held("mallory", gate, 10)
    await asyncio.sleep(0.1)
    for task in slow:
        task.cancel()
    await asyncio.wait(slow)
    gate.set()
    assert await asyncio.wait_for(call("mallory", lambda: "again"), 2) == "again"
    assert not threads._of_loops[asyncio.get_running_loop()]._gates
