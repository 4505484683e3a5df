"""Removing what nothing stands for any more: disk against rows, so that orphans of any origin go."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Count
from django.utils.timezone import now

from micro.errors import ResourceExhausted, Unavailable

from . import credentials, folders, logstreams
from .backends import choice
from .builds import caches, images
from .models import Deployment, Release, Replica, Service
from .sources import tree, uploads

KEPT_RELEASES = 5
UNFINISHED_AGE_S = 3600.0
ARCHIVE_AGE_S = 300.0  # by then the upload that it belongs to has its row
ENVIRONMENT_AGE_S = 86400.0  # since its last use by a build: it is also a cache

logger = logging.getLogger(__name__)


def tidy() -> None:
    """Remove killed services, old releases, and the builds, environments, archives and logs that no row needs.

    One thing that cannot be removed keeps nothing else. Runs in a thread of its own and closes its database connection.
    """
    chores = [
        prune_releases,
        remove_killed_services,
        remove_builds,
        close_logs,
        remove_archives,
        remove_unfinished,
        give_up_caches,
    ]
    try:
        for chore in chores + ([caches.prune] if choice.chosen() == choice.DOCKER else []):
            try:
                chore()
            except Exception:
                logger.exception("housekeeping stumbled in %s; it is tried again later", chore.__name__)
    finally:
        connection.close()


def prune_releases() -> None:
    """Give up releases beyond the last few that neither serve nor run, with their accounts."""
    services = Service.objects.across_namespaces().alive().annotate(count=Count("releases"))
    for service in services.filter(count__gt=KEPT_RELEASES):
        old = service.releases.order_by("-number")[KEPT_RELEASES:]
        for release in old.select_related("service__namespace"):
            in_use = release.pk == service.release_id or release.replicas.exists()
            if not in_use and release.deployment.state in Deployment.FINAL:
                credentials.revoke(release)
                release.delete()


def remove_killed_services() -> None:
    """Remove the rows and logs of services that were killed, once none of their processes is left."""
    killed = Service.objects.across_namespaces().exclude(deleted_at=None).select_related("namespace")
    for service in killed:
        if Replica.objects.across_namespaces().filter(service=service).exists():
            continue
        folders.remove(folders.logs() / service.namespace.slug / str(service.pk))
        try:
            logstreams.purge(service.namespace.slug, service.pk)
        except Unavailable as error:
            logger.warning("the logs of killed %s stay for now: %s", service, error)
            continue
        service.delete()


def remove_builds() -> None:
    """Remove build folders and images that no release and no deployment under way needs, and old environments."""
    found = [path for namespace in _folders(folders.home() / "builds") for path in _folders(namespace)]
    environments = [path for namespace in _folders(folders.home() / "environments") for path in namespace.iterdir()]
    made = images.deployments() if choice.chosen() == choice.DOCKER else {}
    needed = _needed_builds()  # after the listing: what is made from now on is not in it
    for deployment_id, namespace in made.items():
        if deployment_id not in needed:
            images.remove(namespace, deployment_id)
    for path in found:
        if path.name not in needed:
            folders.remove(path)
    kept = set(Release.objects.exclude(environment="").values_list("environment", flat=True))
    for path in environments:
        name = path.read_text() if path.suffix == ".ready" else path.name
        if name not in kept and _age_s(path) > ENVIRONMENT_AGE_S:
            folders.remove(path)


def _needed_builds() -> set[str]:
    """The builds of deployments under way, of releases that went live, and of whatever serves or runs."""
    rows = Deployment.objects.across_namespaces()
    under_way = rows.unfinished().values_list("pk", flat=True)
    went_live = rows.filter(state=Deployment.State.LIVE, service__deleted_at=None).exclude(release=None)
    services = Service.objects.across_namespaces().alive()
    running = Replica.objects.across_namespaces().values_list("release__deployment_id", flat=True)
    kept = {*under_way, *went_live.values_list("pk", flat=True), *running}
    kept |= set(services.exclude(release=None).values_list("release__deployment_id", flat=True))
    return {str(key) for key in kept}


def close_logs() -> None:
    """Let go of the logs of which nothing more comes: their replica is gone, or their deployment left its worker."""
    found = [path for path in folders.logs().glob("*/*/*/*.log") if not path.with_suffix(".done").exists()]
    working = Deployment.objects.across_namespaces().filter(state__in=["queued", *Deployment.WORKING])
    written = {str(key) for key in working.values_list("pk", flat=True)}
    written |= {str(key) for key in Replica.objects.across_namespaces().values_list("pk", flat=True)}
    for path in found:
        if path.stem.rpartition(".")[2] not in written and path.exists():
            path.with_suffix(".done").touch()


def remove_archives() -> None:
    """Remove uploaded archives that are nobody's last upload and that no deployment under way needs.

    An upload of which nothing was ever deployed is forgotten before.
    """
    uploads.forget_unused(at=now())
    for folder in _folders(folders.home() / "sources"):
        found = list(folder.iterdir())
        kept = uploads.needed(folder.name)  # after the listing: what comes from now on is not in it
        for path in found:
            if path.stem not in kept and _age_s(path) > ARCHIVE_AGE_S:
                folders.remove(path)


def remove_unfinished() -> None:
    """Remove what was never finished: uploads that broke off, job records of builds that ended."""
    for path in [*folders.unfinished().iterdir(), *folders.jobs().iterdir()]:
        if _is_old(path):
            folders.remove(path)


def give_up_caches() -> None:
    """Take away what builds in place of a namespace keep, once that is too much; all of it, so nobody meets half of it.

    It is removed an hour later: a build that has just begun may still read it. While one is under way a cache may grow
    to twice the limit.
    """
    limit = int(settings.MICRO_CACHE_MIB) << 20
    folders.remove(folders.home() / "cache")  # of all namespaces, as earlier versions had it
    busy = set(
        Deployment.objects.across_namespaces().filter(state__in=Deployment.WORKING)
        .values_list("service__namespace__slug", flat=True)
    )  # fmt: skip
    for path in list(_folders(folders.home() / "caches")):
        try:
            size = tree.size_bytes(path)
        except (OSError, ResourceExhausted):
            size = 3 * limit  # what cannot be counted is too much
        if size > 2 * limit or (size > limit and path.name not in busy):
            given_up = folders.unfinished() / f"cache-{path.name}-{time.time_ns()}"
            path.rename(given_up)
            os.utime(given_up)
            logger.info("%d MiB that builds of %s had kept are given up", size >> 20, path.name)


def _is_old(path: Path) -> bool:
    return _age_s(path) > UNFINISHED_AGE_S


def _age_s(path: Path) -> float:
    """Seconds since it was last changed; one that is gone meanwhile is as young as can be."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _folders(path: Path) -> Iterator[Path]:
    return (entry for entry in path.iterdir() if entry.is_dir()) if path.is_dir() else iter(())
