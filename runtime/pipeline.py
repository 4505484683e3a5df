"""From a claimed deployment to wanted replicas, in order of time. Each step finds what an earlier attempt made."""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import transaction
from django.utils.timezone import now

from micro.errors import DeadlineExceeded, Error

from . import builds, folders, notices, paths, releases, sources, variables
from .attempts import Attempt
from .buildlogs import BuildLog
from .builds import disks, protos
from .builds.plans import Artifact
from .leases import Lease, Lost
from .models import MOST_ATTEMPTS, Deployment

logger = logging.getLogger(__name__)


def run_deployment(deployment: Deployment) -> None:
    """Fetch, detect, build, make a release and want its replicas; the runner takes it from there.

    A failure ends the deployment with its reason. A deployment that was lost to another worker, superseded or killed
    is left alone.
    """
    logger.info("deployment %s of %s begins, attempt %s", deployment.pk, deployment.service, deployment.attempts)
    log = BuildLog(deployment)
    with Lease(deployment) as lease, recording_failure(deployment, lease, log):
        require_attempts_left(deployment)
        artifact = Artifact.load(_artifact_path(deployment)) or make_artifact(deployment, lease, log)
        release = releases.make(lease=lease, artifact=artifact)
        log.say(f"Release {release.number} is built; starting it.")
        log.close()
        folders.remove(folders.jobs() / str(deployment.pk))
        logger.info("deployment %s is release %s of %s", deployment.pk, release.number, deployment.service)


def make_artifact(deployment: Deployment, lease: Lease, log: BuildLog) -> Artifact:
    """Fetch, detect and build, within the build's time; the artifact is saved when all of it is done."""
    slug = deployment.service.namespace.slug
    attempt = Attempt(slug, deployment.pk, log.path, _within_limits(deployment, lease))

    lease.write(state=Deployment.State.FETCHING)
    log.say(f"Fetching {sources.shown(deployment.service.source or deployment.source, deployment.source)}.")
    token = variables.unseal_one(deployment.git_token_id)
    fetched = sources.fetch(deployment.source, folder=deployment.folder, attempt=attempt, token=token)
    log.say(f"Fetched {fetched.digest}.")

    lease.write(state=Deployment.State.DETECTING)
    plan = builds.plan(fetched, command=deployment.command)
    log.say(*plan.shown())

    lease.write(state=Deployment.State.BUILDING)
    written = protos.read(fetched.path)
    artifact = replace(builds.build(fetched, plan, attempt), protos=b64encode(written).decode())

    lease.write(state=Deployment.State.BUILDING)
    artifact.save(_artifact_path(deployment))
    return artifact


@contextmanager
def recording_failure(deployment: Deployment, lease: Lease, log: BuildLog) -> Iterator[None]:
    """Mark the deployment failed, with the reason, on whatever goes wrong; losing the lease is no failure.

    While the database is away nothing can be marked: the lease lapses and the sweeper has it tried again.
    """
    try:
        yield
    except Lost as lost:
        logger.info("%s", lost)
        leave_if_cancelled(deployment, log)
    except DatabaseError:
        raise
    except Error as error:
        fail(deployment, lease, log, reason=error.detail)
    except Exception as error:
        reason = _full(error) or f"The platform could not do it: {error}"
        fail(deployment, lease, log, reason=reason)
        raise


def _full(error: Exception) -> str:
    """The sentence for a disk of this server that is full; blank for another error."""
    if not isinstance(error, OSError) or error.errno not in disks.FULL:
        return ""
    logger.error("the disk that holds %s is full: make room there", error.filename or folders.home())
    return "A disk of the server is full: the operator has to make room, whose log names it; then deploy again."


def fail(deployment: Deployment, lease: Lease, log: BuildLog, *, reason: str) -> None:
    """End the leased deployment in failure and leave nothing of its build but the log."""
    if not lease.is_held():
        return
    with transaction.atomic():
        text = paths.shown(reason.replace("\0", ""))[:2000] or "It failed without a reason."
        ended = lease.rows().update(state=Deployment.State.FAILED, reason=text, finished_at=now())
        notices.ring()
    if ended:
        folders.remove(_folder(deployment))  # first: it may be what the disk is full of
        folders.remove(folders.jobs() / str(deployment.pk))
        log.say(f"Failed: {text}")
        log.close()


def leave_if_cancelled(deployment: Deployment, log: BuildLog) -> None:
    """Tell the log of a cancelled deployment who did it, and leave nothing else of its build."""
    rows = Deployment.objects.across_namespaces().filter(pk=deployment.pk, state=Deployment.State.CANCELLED)
    for reason in rows.values_list("reason", flat=True):
        log.say(reason)
        log.close()
        folders.remove(_folder(deployment))
        folders.remove(folders.jobs() / str(deployment.pk))


def require_attempts_left(deployment: Deployment) -> None:
    """Raises DeadlineExceeded when the workers of too many earlier attempts died."""
    if deployment.attempts > MOST_ATTEMPTS:
        raise DeadlineExceeded(
            f"The build was interrupted {MOST_ATTEMPTS} times; it may need more memory than there is."
        )


def _within_limits(deployment: Deployment, lease: Lease) -> Callable[[], bool]:
    """May the build go on? Stays a no when the lease is lost; raises DeadlineExceeded when its time is over."""
    limit: timedelta = settings.MICRO_BUILD_TIMEOUT
    used = now() - deployment.created_at if deployment.attempts > 1 else timedelta()
    deadline = time.monotonic() + (limit - used).total_seconds()

    def may_go_on() -> bool:
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"The build took longer than {limit.total_seconds():g} s and was stopped.")
        if not lease.is_held():
            raise Lost(f"deployment {deployment.pk} is not ours any more")
        return True

    return may_go_on


def _folder(deployment: Deployment) -> Path:
    return folders.build(deployment.service.namespace.slug, deployment.pk)


def _artifact_path(deployment: Deployment) -> Path:
    return _folder(deployment) / "artifact.json"
