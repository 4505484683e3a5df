"""What should run, and the next step towards it: rows in, decisions out. The runner carries them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from . import credentials, notices
from .models import Deployment, Release, Replica, Service

STEADY_AFTER = timedelta(seconds=60)  # a replica that served for so long starts its back-off anew
LONGEST_BACK_OFF = timedelta(minutes=5)
LEAVE_TIME = timedelta(seconds=3)  # a killed service does not wait longer for Envoy


class Step(Enum):
    """What the runner does next with a replica."""

    NOTHING = auto()
    START = auto()
    PROBE = auto()
    GIVE_UP = auto()  # it runs but did not listen in time
    RESTART = auto()  # it is gone though it should run
    CONFIRM = auto()  # Envoy has it
    LEAVE = auto()  # take its endpoint away
    DRAIN = auto()  # Envoy has it no longer
    STOP = auto()
    KILL = auto()
    FORGET = auto()


def next_step(replica: Replica, *, is_running: bool, has_acknowledged: Callable[[int], bool], at: datetime) -> Step:
    """The next step for one replica. `is_running` says whether its first process (once stopping: any) runs."""
    if replica.is_wanted:
        return _towards_serving(replica, is_running, has_acknowledged, at)
    return _towards_nothing(replica, is_running, has_acknowledged, at)


def _towards_serving(replica: Replica, is_running: bool, has_acknowledged: Callable[[int], bool], at: datetime) -> Step:
    state, states = replica.state, Replica.State
    if state == states.FAILED:
        return Step.NOTHING
    if state == states.PENDING:
        return Step.START if replica.not_before is None or at >= replica.not_before else Step.NOTHING
    if not is_running:
        return Step.RESTART
    if state == states.STARTING:
        return Step.GIVE_UP if replica.due_at and at > replica.due_at else Step.PROBE
    if state == states.ANNOUNCED and has_acknowledged(replica.revision):
        return Step.CONFIRM
    return Step.NOTHING


def _towards_nothing(replica: Replica, is_running: bool, has_acknowledged: Callable[[int], bool], at: datetime) -> Step:
    state, states = replica.state, Replica.State
    is_due = replica.due_at is not None and at >= replica.due_at
    if state in {states.ANNOUNCED, states.SERVING}:
        return Step.LEAVE
    if not is_running:
        return Step.FORGET
    if state == states.LEAVING:
        is_killed = replica.service.deleted_at is not None
        return Step.DRAIN if has_acknowledged(replica.revision) or (is_killed and is_due) else Step.NOTHING
    if state == states.DRAINING:
        return Step.STOP if is_due else Step.NOTHING
    if state == states.STOPPING:
        return Step.KILL if is_due else Step.NOTHING
    return Step.STOP


def back_off(crashes: int) -> timedelta:
    """How long to wait before the start that follows the `crashes`-th crash in a row: 1, 2, 4 … 300 s."""
    return min(timedelta(seconds=2 ** min(crashes - 1, 20)), LONGEST_BACK_OFF)


def want(deployment: Deployment, release: Release) -> None:
    """Want the replicas of a deployment's release; call it inside the transaction that made the release."""
    for index in range(deployment.instances):
        Replica.objects.across_namespaces().get_or_create(
            release=release,
            index=index,
            defaults={"namespace_id": deployment.namespace_id, "service_id": deployment.service_id},
        )
    deployment.state = Deployment.State.STARTING
    deployment.save(update_fields=["state"])
    notices.ring()


@transaction.atomic
def advance(deployment_id: UUID, *, at: datetime) -> None:
    """Carry a started deployment on by what has become of its replicas: to switching, live or failed."""
    rows = Deployment.objects.across_namespaces().filter(pk=deployment_id, state__in=Deployment.RUNNING)
    deployment = rows.select_for_update(no_key=True).first()
    if deployment is None:
        return
    service = Service.objects.across_namespaces().select_for_update(no_key=True).get(pk=deployment.service_id)
    replicas = list(Replica.objects.across_namespaces().filter(service=service).order_by("pk"))
    own = [replica for replica in replicas if replica.release_id == deployment.release.pk]
    if service.release_id != deployment.release.pk:
        _before_the_switch(deployment, service, own, at)
    if service.release_id == deployment.release.pk and _is_alone(replicas, own):
        _finish(deployment, Deployment.State.LIVE, at=at)


def _before_the_switch(deployment: Deployment, service: Service, own: list[Replica], at: datetime) -> None:
    """Until all replicas serve, the older release does; one that fails ends the deployment."""
    failed = next((replica for replica in own if replica.state == Replica.State.FAILED), None)
    if failed:
        _finish(deployment, Deployment.State.FAILED, at=at, reason=failed.reason)
        give_up(deployment.release)
    elif own and all(replica.state == Replica.State.SERVING for replica in own):
        service.release = deployment.release
        service.save(update_fields=["release"])
        others = Replica.objects.across_namespaces().filter(service=service).exclude(release=deployment.release)
        others.update(is_wanted=False)
        deployment.state = Deployment.State.SWITCHING
        deployment.save(update_fields=["state"])


def _is_alone(replicas: Iterable[Replica], own: Iterable[Replica]) -> bool:
    """Whether Envoy sends nothing to replicas of other releases any more."""
    own_ids = {replica.pk for replica in own}
    seen = {Replica.State.ANNOUNCED, Replica.State.SERVING, Replica.State.LEAVING}
    return not any(replica.state in seen for replica in replicas if replica.pk not in own_ids)


def _finish(deployment: Deployment, state: Deployment.State, *, at: datetime, reason: str = "") -> None:
    deployment.state, deployment.reason, deployment.finished_at = state, reason, at
    deployment.save(update_fields=["state", "reason", "finished_at"])


def give_up(release: Release) -> None:
    """Want none of a release's replicas and take its account away."""
    release.replicas.update(is_wanted=False)
    credentials.revoke(release)
    notices.ring()


def retire(release_id: int) -> None:
    """Take the account of a release away that neither serves nor runs any more nor is about to.

    What it was granted must not outlive it: a later release may have less.
    """
    left = Release.objects.filter(pk=release_id, replicas=None, deployment__state__in=Deployment.FINAL)
    release = left.select_related("service__namespace").first()
    if release and release.service.release_id != release.pk:
        credentials.revoke(release)


def supersede(service: Service) -> None:
    """End the service's deployment that is under way, and what it started. Call it in a transaction."""
    rows = Deployment.objects.across_namespaces().filter(service=service).unfinished()
    for deployment in rows.select_for_update(no_key=True):
        _end(deployment, service, Deployment.State.SUPERSEDED)


@transaction.atomic
def cancel(deployment_id: UUID, *, reason: str) -> bool:
    """End a deployment that is under way, and what it started; False when it has ended, or its replicas serve."""
    rows = Deployment.objects.across_namespaces().filter(pk=deployment_id).unfinished()
    deployment = rows.exclude(state=Deployment.State.SWITCHING).select_for_update(no_key=True, of=("self",)).first()
    if deployment is None:
        return False
    _end(
        deployment,
        Service.objects.across_namespaces().get(pk=deployment.service_id),
        Deployment.State.CANCELLED,
        reason,
    )
    return True


def _end(deployment: Deployment, service: Service, state: Deployment.State, reason: str = "") -> None:
    """End a locked deployment: its worker is fenced off, its replicas are wanted no longer unless they serve."""
    deployment.fence += 1
    deployment.save(update_fields=["fence"])
    _finish(deployment, state, at=now(), reason=reason)
    release = Release.objects.filter(deployment=deployment).first()
    if release and release.pk != service.release_id:
        give_up(release)
