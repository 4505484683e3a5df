"""A worker's hold on a deployment: renewed while it works, fenced so that a late writer is refused."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from django.db import Error as DatabaseError
from django.db import OperationalError, connection
from django.db.models import Q
from django.utils.timezone import now

from .models import LEASE, Deployment, DeploymentQuerySet

RENEW_EVERY_S = 2.0  # and so long a cancelled build goes on
RETRY_S = 0.5

logger = logging.getLogger(__name__)


class Lost(Exception):
    """Another worker has the deployment now, or a later deployment or a kill ended it."""


class Lease:
    """As a context it keeps the lease of a claimed deployment alive from a thread of its own."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment_id, self.fence = deployment.pk, deployment.fence
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_ended, name=f"lease-{deployment.pk}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=RENEW_EVERY_S)
        self._let_go()

    def rows(self) -> DeploymentQuerySet:
        """The deployment's row, as long as it is this worker's."""
        held: DeploymentQuerySet = Deployment.objects.across_namespaces().filter(
            pk=self.deployment_id, fence=self.fence, state__in=Deployment.WORKING
        )
        return held

    def is_held(self) -> bool:
        """Whether the work may go on."""
        return not self._lost.is_set()

    def write(self, **fields: object) -> None:
        """Change the row; while the database is away, wait for it. Raises Lost when it is no longer this worker's.

        Not for the middle of a transaction, which is lost with its connection.
        """
        while not self._lost.is_set():
            try:
                if self.rows().update(**fields):
                    return
                self._lost.set()
            except OperationalError as error:
                logger.warning("deployment %s waits for the database: %s", self.deployment_id, str(error).strip())
                connection.close()
                self._lost.wait(RETRY_S)
        raise Lost(f"deployment {self.deployment_id} is not ours any more")

    def _let_go(self) -> None:
        """Free its build slot. What is not done yet is left to whoever takes it when the lease has lapsed."""
        states = Deployment.State
        done = Q(fence=self.fence) & ~Q(state__in=[states.QUEUED, *Deployment.WORKING])
        ended_by_others = Q(fence=self.fence + 1, state__in=[states.SUPERSEDED, states.CANCELLED])
        try:
            rows = Deployment.objects.across_namespaces().filter(done | ended_by_others, pk=self.deployment_id)
            rows.update(lease_until=now())
        except DatabaseError as error:
            logger.warning("the slot of deployment %s is free when its lease lapses: %s", self.deployment_id, error)
            connection.close()

    def _renew_until_ended(self) -> None:
        renewed_at = time.monotonic()
        try:
            while not self._ended.wait(RENEW_EVERY_S):
                if self._renew():
                    renewed_at = time.monotonic()
                elif self._lost.is_set() or time.monotonic() - renewed_at > LEASE.total_seconds():
                    self._lost.set()
                    return
        finally:
            connection.close()

    def _renew(self) -> bool:
        try:
            if not self.rows().update(lease_until=now() + LEASE):
                self._lost.set()
                return False
        except DatabaseError as error:
            logger.warning("lease of deployment %s not renewed: %s", self.deployment_id, error)
            connection.close()
            return False
        return True
