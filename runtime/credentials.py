"""The account under which the replicas of a release call the platform. Its secret is derived, never stored."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from uuid import UUID

from django.conf import settings

from primitives.auth import operations as accounts
from tenants.models import Namespace

from .models import Release


def account_id(release: Release) -> str:
    """The account's id in the namespace of the service."""
    return f"{release.service.name}-{release.service.version}-{release.number}"


def secret(deployment_id: UUID) -> str:
    """The account's secret: random to everyone who lacks the server's key."""
    return hmac.new(settings.SECRET_KEY.encode(), f"release:{deployment_id}".encode(), hashlib.sha256).hexdigest()


def grant(release: Release) -> None:
    """Make it so that the account exists."""
    accounts.create_service_account(
        namespace=release.service.namespace,
        id=account_id(release),
        secret=secret(release.deployment_id),
        service=release.service.name,
        grants=release.deployment.grants,
    )


def forget(releases: Sequence[Release], *, namespace: Namespace) -> None:
    """Make it so that the accounts are gone that a service's releases made, and those that these made."""
    accounts.delete_made_by(namespace=namespace, ids=[account_id(release) for release in releases])


def revoke(release: Release) -> None:
    """Make it so that the account is gone; its tokens cannot be renewed."""
    accounts.delete_account(namespace=release.service.namespace, id=account_id(release))
