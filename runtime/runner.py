"""The loop that makes running replicas equal the rows. One per machine; it never decides what is wanted."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.utils.timezone import now

from micro import interfaces
from primitives.registry import operations as registry
from primitives.registry.records import WARNING, Node, announced_ports

from . import folders, housekeeping, launching, paths, ports, probes, rollouts
from .backends import Away, Backend, choice
from .doorbell import Doorbell
from .logfiles import Follower
from .models import ORIGINS, Deployment, Release, Replica
from .probing import Prober
from .processes import StillStarting
from .rollouts import Step

POLL_S = 2.0  # however quiet the doorbell is
EAGER_S, PATIENT_S = 0.05, 0.25  # between probes, and between looks at acknowledgements
EAGER_FOR = timedelta(seconds=10)
TIDY_EVERY_S = 300.0
STOP_WAIT_S = 3.0

logger = logging.getLogger(__name__)


class AlreadyRunning(RuntimeError):
    """Another runner has this state folder."""


class Runner:
    """One machine's runner. `run` returns after `stop`; replicas go on running."""

    def __init__(self, backend: Backend | None = None) -> None:
        self.backend = backend or choice.make()
        self.follower = Follower()
        self._stopping = threading.Event()
        self._doorbell = Doorbell()
        self._prober = Prober(self.wake)
        self._housekeeper = ThreadPoolExecutor(
            1, thread_name_prefix="housekeeping"
        )  # waits for no probe, nor one for it
        self._tidying: Future[None] | None = None
        self._tidy_at = 0.0
        self._steps: dict[Step, Callable[[Replica], None]] = {
            Step.START: self._start,
            Step.PROBE: self._probe,
            Step.GIVE_UP: self._give_up,
            Step.RESTART: self._restart,
            Step.CONFIRM: self._confirm,
            Step.LEAVE: self._leave,
            Step.DRAIN: self._drain,
            Step.STOP: self._stop,
            Step.KILL: self._kill,
            Step.FORGET: self._forget,
        }

    def stop(self) -> None:
        """Have `run` return soon. Safe in a signal handler and from other threads."""
        self._stopping.set()
        self.wake()

    def wake(self) -> None:
        """Have the loop look again at once."""
        self._doorbell.ring()

    def run(self) -> None:
        """Work until `stop`. Raises AlreadyRunning when another runner has the same state folder."""
        with _alone(folders.home() / "runner.lock"):
            self.follower.start()
            try:
                self._recover_until_done()
                while not self._stopping.is_set():
                    self._wait(self._look())
            finally:
                self.follower.stop()
                self._prober.close()
                self._housekeeper.shutdown(wait=False, cancel_futures=True)
                if self._tidying:
                    wait([self._tidying], timeout=STOP_WAIT_S)
                self._doorbell.disconnect()
                connection.close()

    def _recover_until_done(self) -> None:
        while not self._stopping.is_set():
            try:
                self.recover()
            except DatabaseError as error:
                self._await_database(error)
            except Away as error:
                self._await_backend(error)
            else:
                return

    def recover(self) -> None:
        """At the start: adopt what still runs; what was stopped with the server starts again without being a crash."""
        rows = Replica.objects.across_namespaces().wanted().exclude(state__in=["pending", "failed"])
        for replica in rows.select_related("service__namespace"):
            if not self.backend.is_running(replica.pk):
                self._deregister(replica)
                self._write(replica, state=Replica.State.PENDING, not_before=None)

    def _look(self) -> float:
        """One tick; the seconds until the next is due."""
        try:
            return self.tick()
        except DatabaseError as error:
            self._await_database(error)
            return 0.0
        except Away as error:
            self._await_backend(error)
            return 0.0
        except Exception:
            logger.exception("the runner stumbled; it looks again in a second")
            return 1.0

    def _await_database(self, error: DatabaseError) -> None:
        logger.warning("waiting for the database: %s", str(error).strip().split("\n")[0])
        connection.close()
        self._doorbell.disconnect()
        self._stopping.wait(1.0)

    def _await_backend(self, error: Away) -> None:
        """Change nothing about replicas of which nothing is known."""
        logger.warning("waiting for the backend: %s", error)
        self._stopping.wait(1.0)

    def tick(self) -> float:
        """Look at every replica once, take its next step; the seconds until something is due."""
        self._doorbell.listen()
        at = now()
        has_acknowledged = cache(lambda revision: registry.acknowledged(revision, at=at))
        delays = [POLL_S]
        rows = Replica.objects.across_namespaces().select_related("release", "service__namespace")
        replicas = list(rows)
        for replica in replicas:
            step = rollouts.next_step(
                replica, is_running=self._is_running(replica), has_acknowledged=has_acknowledged, at=at
            )
            if step != Step.NOTHING:
                self._take(step, replica)
            elif replica.state == Replica.State.SERVING:
                self._note_trouble(replica)
            delays.append(self._delay(replica, step, at))
        for deployment_id in self._started():
            rollouts.advance(deployment_id, at=now())
        self._remove_strangers({replica.pk for replica in replicas})
        self._tidy_when_due()
        return min(delays)

    def _started(self) -> list[UUID]:
        rows = Deployment.objects.across_namespaces().filter(state__in=Deployment.RUNNING)
        return list(rows.values_list("pk", flat=True))

    def _is_running(self, replica: Replica) -> bool:
        if replica.is_wanted or replica.state != Replica.State.STOPPING:
            return self.backend.is_running(replica.pk)
        return not self.backend.is_gone(replica.pk)

    def _take(self, step: Step, replica: Replica) -> None:
        """Take one step; one replica's trouble is not the others'."""
        if step != Step.PROBE:
            logger.info("%s %s", step.name.lower().replace("_", " "), replica.node_id)
        try:
            self._steps[step](replica)
        except (DatabaseError, Away):
            raise
        except Exception:
            logger.exception("%s: %s failed", replica, step.name)

    def _delay(self, replica: Replica, step: Step, at: datetime) -> float:
        """How long this replica can wait. After a step it is looked at again at once, unless it waits for the world."""
        state = replica.state
        if state in {Replica.State.ANNOUNCED, Replica.State.LEAVING, Replica.State.STARTING, Replica.State.STOPPING}:
            is_fresh = at - (replica.changed_at or replica.created_at) < EAGER_FOR
            return EAGER_S if is_fresh else PATIENT_S
        if step not in {Step.NOTHING, Step.PROBE}:
            return 0.0
        dues = [due for due in (replica.due_at, replica.not_before) if due and due > at]
        is_waiting = state in {Replica.State.DRAINING, Replica.State.PENDING}
        return min([(due - at).total_seconds() for due in dues], default=POLL_S) if is_waiting else POLL_S

    # The steps. Each is "make it so": it may be taken again after a kill at any point in it.

    def _start(self, replica: Replica) -> None:
        port = self._port(replica) if self.backend.shares_ports else None
        due = now() + settings.MICRO_START_TIMEOUT
        self._write(replica, state=Replica.State.STARTING, port=port, due_at=due)
        if port:
            registry.vacate(port=port)
        try:
            self.backend.start(launching.launch(replica))
        except StillStarting:
            return
        except Away:
            self._write(replica, state=Replica.State.PENDING, not_before=None, due_at=None)
            raise
        except OSError as error:
            self._fail_or_back_off(replica, f"It could not be started: {error}.")
        self._prober.forget(replica)

    def _port(self, replica: Replica) -> int:
        if replica.port and ports.is_free(replica.port):
            return replica.port
        rows = Replica.objects.across_namespaces().exclude(port=None)
        given = {port for port in rows.values_list("port", flat=True) if port}
        try:
            return ports.choose(given | announced_ports())
        except ports.NoPort:
            return ports.choose(given)  # a replica goes before what was announced

    def _probe(self, replica: Replica) -> None:
        """Ask in the background whether it serves; announce it when it does."""
        if ready := self._prober.answer(replica):
            self._announce(replica, ready)
        elif endpoint := self.backend.endpoint(replica.pk, replica.port):
            self._prober.ask(replica, *endpoint)

    @transaction.atomic
    def _announce(self, replica: Replica, ready: probes.Ready) -> None:
        """Register it, unless somebody has stopped wanting it meanwhile."""
        rows = Replica.objects.across_namespaces().filter(pk=replica.pk, is_wanted=True)
        if not rows.select_for_update(no_key=True).exists():
            return
        endpoint = self.backend.endpoint(replica.pk, replica.port)
        if endpoint is None:
            return
        _remember(replica.release, ready)
        revision = registry.register(
            namespace=replica.service.namespace.slug,
            service=replica.service.name,
            version=replica.service.version,
            protocol=ready.protocol,
            node=Node(replica.node_id, *endpoint, _said(replica.release, ready)),
            descriptors=ready.descriptors,
        )
        self._write(replica, state=Replica.State.ANNOUNCED, revision=revision, due_at=None)
        logger.info("announced %s, %s at %s:%s, as revision %s", replica.node_id, ready.protocol, *endpoint, revision)

    def _give_up(self, replica: Replica) -> None:
        limit = settings.MICRO_START_TIMEOUT.total_seconds()
        host, port = self.backend.endpoint(replica.pk, replica.port) or ("nowhere", 0)
        self.backend.kill(replica.pk)
        self._deregister(replica)
        reason = f"It runs but does not answer on $PORT ({host}:{port}) after {limit:g} s."
        hint = "" if self.backend.shares_ports else " In a container that is 0.0.0.0, not 127.0.0.1."
        self._fail_or_back_off(replica, reason + hint + launching.last_line(replica))

    def _restart(self, replica: Replica) -> None:
        self._deregister(replica)
        self.backend.kill(replica.pk)
        words = self.backend.last_words(replica.pk)
        when = " before it answered on $PORT" if replica.state == Replica.State.STARTING else ""
        self._fail_or_back_off(replica, f"The process {words}{when}.{launching.last_line(replica)}")

    def _fail_or_back_off(self, replica: Replica, reason: str) -> None:
        """A release that is being tried fails; one that serves is started again, later each time."""
        reason = paths.shown(reason)
        if replica.service.release_id != replica.release_id:
            self._write(replica, state=Replica.State.FAILED, reason=reason, port=None)
            return
        was_steady = replica.state == Replica.State.SERVING and replica.due_at and now() > replica.due_at
        crashes = 1 if was_steady else replica.crashes + 1
        pause = rollouts.back_off(crashes)
        logger.info("%s: %s Starting again in %g s", replica.node_id, reason, pause.total_seconds())
        self._write(
            replica, state=Replica.State.PENDING, reason=reason, crashes=crashes, not_before=now() + pause, due_at=None
        )

    def _confirm(self, replica: Replica) -> None:
        due = now() + rollouts.STEADY_AFTER
        self._write(replica, state=Replica.State.SERVING, reason="", due_at=due)

    def _note_trouble(self, replica: Replica) -> None:
        """Have the status name a limit that a serving replica meets."""
        trouble = self.backend.trouble(replica.pk)
        if trouble != replica.reason:
            self._write(replica, reason=trouble)
            logger.info("%s: %s", replica.node_id, trouble or "within its limits again")

    def _leave(self, replica: Replica) -> None:
        revision = self._deregister(replica)
        due = now() + rollouts.LEAVE_TIME
        self._write(replica, state=Replica.State.LEAVING, revision=revision, due_at=due)

    def _drain(self, replica: Replica) -> None:
        drain_time = timedelta() if replica.service.deleted_at else settings.MICRO_DRAIN_TIME
        self._write(replica, state=Replica.State.DRAINING, due_at=now() + drain_time)

    def _stop(self, replica: Replica) -> None:
        self.backend.terminate(replica.pk)
        self._write(replica, state=Replica.State.STOPPING, due_at=now() + settings.MICRO_STOP_TIME)

    def _kill(self, replica: Replica) -> None:
        self.backend.kill(replica.pk)

    def _forget(self, replica: Replica) -> None:
        self._deregister(replica)
        self.backend.forget(replica.pk)
        launching.log_path(replica).with_suffix(".done").touch()
        Replica.objects.across_namespaces().filter(pk=replica.pk).delete()
        rollouts.retire(replica.release_id)
        self._prober.forget(replica)
        self._tidy_at = 0.0

    def _deregister(self, replica: Replica) -> int:
        """Take it out, also what it has registered itself while it was not announced."""
        slug, name = replica.service.namespace.slug, replica.service.name
        if replica.port:
            registry.forget(namespace=slug, service=name, host=launching.LOOPBACK, port=replica.port)
        return registry.deregister(namespace=slug, node_ids=[replica.node_id])

    def _write(self, replica: Replica, **fields: object) -> None:
        """Note how far a replica is. Never touches what is wanted, which others decide meanwhile."""
        fields["changed_at"] = now()
        Replica.objects.across_namespaces().filter(pk=replica.pk).update(**fields)
        for name, value in fields.items():
            setattr(replica, name, value)

    def _remove_strangers(self, known: set[UUID]) -> None:
        """Stop processes that no row stands for."""
        for replica_id in self.backend.replica_ids():
            is_stranger = replica_id not in known and not Replica.objects.across_namespaces().filter(pk=replica_id)
            if is_stranger:
                logger.warning("replica %s has no row; stopping it", replica_id)
                self.backend.forget(replica_id)

    def _tidy_when_due(self) -> None:
        is_busy = self._tidying and not self._tidying.done()
        if not is_busy and time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_EVERY_S
            self._tidying = self._housekeeper.submit(housekeeping.tidy)

    def _wait(self, seconds: float) -> None:
        """Sleep until something is due, somebody rings, or a replica ends."""
        self._doorbell.wait(seconds, self.backend.descriptors())


class _alone:
    """Hold the machine's one place for a runner. A killed runner frees it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AlreadyRunning(f"Another runner works in {self._path.parent}.") from None

    def __exit__(self, *_exception: object) -> None:
        self._file.close()


def _remember(release: Release, ready: probes.Ready) -> None:
    """Keep what a release's first start revealed."""
    if release.protocol != ready.protocol or bytes(release.descriptors) != ready.descriptors:
        release.protocol, release.descriptors = ready.protocol, ready.descriptors
        release.save(update_fields=["protocol", "descriptors"])


def _said(release: Release, ready: probes.Ready) -> dict[str, str]:
    """What a replica's node says: its release, the origins whose pages may read its answers, and how it falls short."""
    said = {"release": str(release.number)}
    if origins := release.env.get(ORIGINS, ""):
        said["origins"] = origins
    if ready.fault:
        said[WARNING] = interfaces.warning(ready.fault)
    return said
