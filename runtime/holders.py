"""Who has which port of this machine's loopback: what the registry asks before calls are sent to one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from uuid import UUID

import psutil
from django.db.models import Q, QuerySet

from primitives.registry.addresses import PLATFORM, Holder

from . import credentials, folders, processes
from .backends import choice
from .models import Replica

SUPERVISED = "MICRO_SUPERVISED_HOME"  # in the environment of every server's own processes, and of no replica
REMEMBERED_S = 1.0  # to look up every listening process takes tens of milliseconds


class Machine:
    """This machine, as the rows and the processes on it say."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_at = -REMEMBERED_S
        self._listening: Mapping[int, frozenset[int]] = {}

    def shares_loopback(self) -> bool:
        """Whether replicas are processes of this machine."""
        return choice.chosen() == choice.PROCESS

    def holders(self, ports: Collection[int]) -> dict[int, list[Holder]]:
        """Who was given each of these ports, and whose process listens there."""
        found: dict[int, list[Holder]] = {port: [] for port in ports}
        for replica in _replicas(Q(port__in=ports)):
            found[replica.port or 0].append(_holder(replica))
        listening = self._listeners()
        if any(port in listening for port in ports):
            leaders = dict(_leaders())
            for port in ports:
                found[port] += filter(None, (_owner(pid, leaders) for pid in listening.get(port, ())))
        return found

    def accounts(self, node_ids: Collection[str]) -> dict[str, str]:
        """The accounts of the releases of these replicas."""
        wanted = [key for node_id in node_ids if (key := _uuid(node_id[-36:]))]
        return {replica.node_id: _holder(replica).account for replica in _replicas(Q(pk__in=wanted))}

    def _listeners(self) -> Mapping[int, frozenset[int]]:
        """The processes that listen on each port, as they were a moment ago."""
        with self._lock:
            if time.monotonic() - self._looked_at >= REMEMBERED_S:
                self._listening, self._looked_at = listeners(), time.monotonic()
            return self._listening


def listeners() -> dict[int, frozenset[int]]:
    """The processes that listen on each TCP port. Those are left out that the system does not name to us."""
    found: dict[int, set[int]] = {}
    try:
        sockets = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS tells it to root alone; then the rows and the settings have to do
        return {}
    for each in sockets:
        if each.status == psutil.CONN_LISTEN and each.pid and each.laddr:
            found.setdefault(each.laddr.port, set()).add(each.pid)
    return {port: frozenset(pids) for port, pids in found.items()}


def _replicas(condition: Q) -> QuerySet[Replica]:
    rows = Replica.objects.across_namespaces().filter(condition)
    return rows.select_related("release__service__namespace", "service__namespace")


def _holder(replica: Replica) -> Holder:
    service = replica.service
    return Holder(service.namespace.slug, service.name, credentials.account_id(replica.release))


def _leaders() -> Iterator[tuple[int, Holder]]:
    """The first process of each replica and of each build of this machine; a build is the platform's."""
    known = {replica.pk: _holder(replica) for replica in _replicas(Q(port__isnull=False))}
    for folder in folders.replicas().iterdir():
        if process := processes.recorded(folder):
            yield process.pid, known.get(_uuid(folder.name), PLATFORM)  # type: ignore[arg-type]
    for folder in folders.jobs().iterdir():
        if process := processes.recorded(folder):
            yield process.pid, PLATFORM


def _owner(pid: int, leaders: Mapping[int, Holder]) -> Holder | None:
    """Whose process it is: it belongs to its session's leader, to an ancestor, or to nobody here."""
    try:
        process = psutil.Process(pid)
        above = [os.getsid(pid), pid, *(parent.pid for parent in process.parents())]
        if leader := next((each for each in above if each in leaders), None):
            return leaders[leader]
        return PLATFORM if SUPERVISED in process.environ() else None
    except (psutil.Error, ProcessLookupError):  # it has ended, or is another user's
        return None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
