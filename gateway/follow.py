"""The control plane's process: follow the registry, serve Envoys, write back what they have applied.

Postgres may go away at any time: what is served stays served. When it is away from the beginning, the last good
configuration on disk is served, so that a restarted Envoy needs this process and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from django.utils.timezone import now

from primitives.registry import operations, records
from primitives.rules.records import CHANNEL as RULES
from tenants.quotas import CHANNEL as PLANS
from transport import notifications
from transport.database import dsn
from transport.failures import AWAY
from transport.tenancy import in_public

from . import certificates, picture, saved, xds
from .journal import Journal
from .resources import Resources

PATIENCE_S = 3.0  # for Postgres at the start; then the configuration on disk is served
RENEWAL_S = 20.0  # an Envoy that was not heard of for 60 s may be taken for gone
PAUSE_S = 1.0  # before a second try to write

logger = logging.getLogger(__name__)


async def run(*, socket: Path, folder: Path) -> None:
    """Serve on `socket`, keeping the last good configuration in `folder`, until SIGTERM."""
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    acks, keeper = Acks(), Keeper(folder)
    journal = await asyncio.to_thread(Journal, folder / "journal")
    plane, reasons = xds.ControlPlane(heard=acks.put, good=keeper.put, journal=journal), Reasons()
    async with xds.serving(plane, socket):
        logger.info("xds answers on %s", socket)
        chores = [follow(plane), fall_back(plane, folder), acks.write_forever(), keeper.save_forever()]
        chores.append(reasons.write_forever(plane))
        if files := certificates.files_from_settings():
            chores.append(certificates.follow(files, plane.certify))
        tasks = [asyncio.create_task(chore) for chore in chores]
        failed = asyncio.create_task(_first_failure(tasks))
        await asyncio.wait([asyncio.create_task(stop.wait()), failed], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        if failed.done():
            failed.result()
    await acks.write_last()


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    """Raises what ends a task that should not end: the supervisor starts the process anew."""
    for task in asyncio.as_completed(tasks):
        await task
    await asyncio.Event().wait()


async def follow(plane: xds.ControlPlane) -> None:
    """Publish every change."""
    last = None
    async for _ in notifications.changes(dsn(), records.CHANNEL, RULES, PLANS):
        try:
            state = await in_public(picture.read)
        except AWAY as error:
            logger.warning("the registry cannot be read; what Envoy has stays: %s", str(error).strip())
            continue
        if state != last:
            await plane.publish(state)
            last = state


async def fall_back(plane: xds.ControlPlane, folder: Path) -> None:
    """Serve the configuration on disk when Postgres has given none in PATIENCE_S."""
    with suppress(TimeoutError):
        await asyncio.wait_for(plane.published.wait(), PATIENCE_S)
        return
    resources = await asyncio.to_thread(saved.load, folder, made_for=picture.made_for())
    if resources and not plane.published.is_set():
        logger.warning("Postgres is away: serving the configuration of revision %d from disk", resources.revision)
        plane.offer(resources)


class Acks:
    """What Envoys have applied, on its way into the registry; only the newest of each counts."""

    def __init__(self) -> None:
        self._latest: dict[str, xds.Ack] = {}
        self._unwritten: set[str] = set()
        self._news = asyncio.Event()

    def put(self, ack: xds.Ack) -> None:
        """Take in one Envoy's word."""
        self._latest[ack.envoy_id] = ack
        self._unwritten.add(ack.envoy_id)
        self._news.set()

    async def write_forever(self) -> None:
        """Write what is new at once, and every Envoy that is connected again and again."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), RENEWAL_S)
            self._news.clear()
            self._unwritten |= {ack.envoy_id for ack in self._latest.values() if ack.connected}
            if not await self._write():
                await asyncio.sleep(PAUSE_S)
                self._news.set()

    async def write_last(self) -> None:
        """Write what is unwritten, if that can be done now."""
        await self._write()

    async def _write(self) -> bool:
        try:
            while self._unwritten:
                ack = self._latest[next(iter(self._unwritten))]
                await in_public(
                    operations.record_ack,
                    envoy_id=ack.envoy_id,
                    pid=ack.pid,
                    revision=ack.revision or 0,
                    connected=ack.connected,
                    at=now(),
                )
                if self._latest[ack.envoy_id] is ack:
                    self._unwritten.discard(ack.envoy_id)
        except AWAY as error:
            logger.warning("an acknowledgement waits to be written: %s", str(error).strip())
            return False
        return True


class Reasons:
    """Why the gateway does not use what services tell of themselves, on its way to their users."""

    def __init__(self) -> None:
        self._written: Mapping[tuple[str, str], str] | None = None  # by none of this process yet

    async def write_forever(self, plane: xds.ControlPlane) -> None:
        """Write what there is to say after each change of it."""
        await plane.published.wait()
        while True:
            found = plane.unused
            if found != self._written:
                try:
                    await in_public(operations.note_unused, found)
                    self._written = found
                except AWAY as error:
                    logger.warning("what services are told waits to be written: %s", str(error).strip())
            await asyncio.sleep(PAUSE_S)


class Keeper:
    """Keeps the last configuration that an Envoy has applied whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._good: Resources | None = None
        self._news = asyncio.Event()

    def put(self, resources: Resources) -> None:
        """This one is good."""
        self._good = resources
        self._news.set()

    async def save_forever(self) -> None:
        """Save the newest good one whenever there is one."""
        made_for = picture.made_for()
        while True:
            await self._news.wait()
            self._news.clear()
            if self._good:
                try:
                    await asyncio.to_thread(partial(saved.save, self._folder, self._good, made_for=made_for))
                except OSError as error:
                    logger.error("the configuration cannot be kept on disk: %s", error)
