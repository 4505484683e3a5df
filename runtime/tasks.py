"""What the worker is asked to do. The broker is a hint: a lost or a doubled message changes nothing."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import current_app, shared_task
from django.utils.timezone import now
from kombu.exceptions import OperationalError

from . import pipeline, turns
from .models import Deployment

RESEND_AFTER = timedelta(seconds=20)

logger = logging.getLogger(__name__)


@shared_task(name="runtime.deploy", acks_late=True)  # type: ignore[untyped-decorator]
def deploy(*, namespace: str, deployment_id: str, **_later_arguments: object) -> None:
    """Carry deployments to wanted replicas, each in its turn, until none is left that may begin.

    The one that is named may be among them or not: a message says that there is work, the rows say which.
    """
    while deployment := turns.take(at=now()):
        pipeline.run_deployment(deployment)


@shared_task(name="runtime.sweep", acks_late=True)  # type: ignore[untyped-decorator]
def sweep(**_later_arguments: object) -> None:
    """Have every deployment driven again whose message was lost or whose worker fell silent."""
    at = now()
    overdue = Deployment.objects.across_namespaces().overdue(at).select_related("namespace")
    for deployment in overdue:
        logger.info("deployment %s is overdue in %s; sending it again", deployment.pk, deployment.state)
        send(namespace=deployment.namespace.slug, deployment_id=str(deployment.pk))
    # A queued one waits for a free worker; asking every few seconds would only fill the queue.
    overdue.filter(state=Deployment.State.QUEUED).update(lease_until=at + RESEND_AFTER)


def send(*, namespace: str, deployment_id: str) -> None:
    """Tell a worker. When the broker is away the sweeper does it later: nobody waits for it here."""
    ids = {"namespace": namespace, "deployment_id": deployment_id}
    try:
        with current_app.connection_for_write(transport_options={"max_retries": 0}) as broker:
            deploy.apply_async(kwargs=ids, connection=broker, retry=False)
    except OperationalError as error:
        logger.warning("deployment %s waits for the broker: %s", deployment_id, error)
