"""Releases: made once per deployment, numbered per service, given up with their account."""

from __future__ import annotations

from base64 import b64decode

from django.db import transaction
from django.db.models import Max

from . import credentials, rollouts
from .builds.plans import Artifact
from .leases import Lease, Lost
from .models import Deployment, Release, Service


@transaction.atomic
def make(*, lease: Lease, artifact: Artifact) -> Release:
    """Turn the artifact of the leased deployment into a release, and want its replicas. All of it or nothing.

    Raises Lost when the deployment is no longer this worker's.
    """
    deployment = lease.rows().select_for_update(no_key=True).first()
    if deployment is None:
        raise Lost(f"deployment {lease.deployment_id} is not ours any more")
    service = Service.objects.across_namespaces().select_related("namespace").get(pk=deployment.service_id)
    release = _numbered(service, deployment, artifact)
    credentials.grant(release)
    rollouts.want(deployment, release)
    return release


def _numbered(service: Service, deployment: Deployment, artifact: Artifact) -> Release:
    """The release row. One deployment of a service is under way at a time, so the next number is free."""
    last = service.releases.aggregate(last=Max("number"))["last"] or 0
    return Release.objects.create(
        service=service,
        deployment=deployment,
        number=last + 1,
        digest=artifact.digest,
        command=artifact.command,
        folder=artifact.folder,
        environment=artifact.environment,
        image=artifact.image,
        env=deployment.env,
        secrets=deployment.secrets,
        descriptors=b64decode(artifact.protos),
        protocol=deployment.env.get("MICRO_PROTOCOL", "") or artifact.protocol,
    )
