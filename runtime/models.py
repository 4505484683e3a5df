"""Services, their releases and deployments, the replicas that run, and what was uploaded. All in the public schema."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q

from tenants.models import Namespace
from tenants.scoping import NamespacedManager, NamespacedQuerySet

LEASE = timedelta(seconds=20)
MOST_ATTEMPTS = 4
ORIGINS = "MICRO_ALLOWED_ORIGINS"  # a service's variable that the gateway heeds


class ServiceQuerySet(NamespacedQuerySet["Service"]):
    """Questions on services."""

    def alive(self) -> Self:
        """Those that nobody has killed."""
        return self.filter(deleted_at=None)


class Service(models.Model):
    """What a user deploys: one version of a name in a namespace. `release` is the one that serves, if any does."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="services")
    name = models.CharField(max_length=63)
    version = models.CharField(max_length=200, default="latest")
    source = models.CharField(max_length=2100, blank=True)
    owner = models.CharField(max_length=200, blank=True)
    metadata = models.JSONField(default=dict, blank=True, help_text="What its owner says of it: texts by name")
    release = models.ForeignKey("Release", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = NamespacedManager.from_queryset(ServiceQuerySet)()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="a_living_service_has_its_name_and_version_alone",
                fields=["namespace", "name", "version"],
                condition=Q(deleted_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class DeploymentQuerySet(NamespacedQuerySet["Deployment"]):
    """Questions on deployments."""

    def unfinished(self) -> Self:
        """Those that still can become live."""
        return self.exclude(state__in=Deployment.FINAL)

    def claimable(self, at: datetime) -> Self:
        """Queued ones, and those in a worker's hands whose worker fell silent."""
        return self.filter(Q(state="queued") | Q(state__in=Deployment.WORKING, lease_until__lt=at))

    def held(self, at: datetime) -> Self:
        """Those that a worker has not let go of, whatever has become of them meanwhile."""
        return self.exclude(state="queued").filter(began_at__isnull=False, lease_until__gt=at)

    def replaced(self, is_replaced: bool) -> Self:
        """Those that went live and that a later one has replaced since; or all others."""
        gone = Q(state="live") & (Q(service__release=None) | ~Q(release=F("service__release")))
        return self.filter(gone if is_replaced else ~gone)

    def overdue(self, at: datetime) -> Self:
        """Those that a worker should have been told of again: never picked up, or the worker fell silent."""
        return self.filter(state__in=["queued", *Deployment.WORKING], lease_until__lt=at)

    def claim(self, deployment_id: uuid.UUID | str, *, at: datetime) -> Deployment | None:
        """Take a deployment for one worker until `at` + LEASE; None when another has it or it is finished.

        Each claim takes the next fencing number; whoever holds an older one can no longer write.
        """
        if not self.filter(pk=deployment_id).exists():
            return None
        # Conditions on the row's own columns only: across a join two claims at once would both win.
        won = (
            Deployment.objects.across_namespaces()
            .filter(pk=deployment_id)
            .claimable(at)
            .update(
                state=Deployment.State.FETCHING,
                lease_until=at + LEASE,
                began_at=at,
                fence=F("fence") + 1,
                attempts=F("attempts") + 1,
            )
        )
        return self.select_related("service__namespace").get(pk=deployment_id) if won else None


class Deployment(models.Model):
    """One attempt to bring a source to running. The row is the truth about how far it got."""

    class State(models.TextChoices):
        QUEUED = "queued"
        FETCHING = "fetching"
        DETECTING = "detecting"
        BUILDING = "building"
        STARTING = "starting"
        SWITCHING = "switching"
        LIVE = "live"
        FAILED = "failed"
        SUPERSEDED = "superseded"
        CANCELLED = "cancelled"  # `reason` says by whom

    WORKING: ClassVar = ["fetching", "detecting", "building"]  # in a worker's hands, under a lease
    RUNNING: ClassVar = ["starting", "switching"]  # in the runner's hands
    FINAL: ClassVar = ["live", "failed", "superseded", "cancelled"]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="deployments")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="deployments")
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    source = models.CharField(max_length=2100, help_text="A git source, or archive:<sha256>")
    folder = models.CharField(max_length=1024, blank=True, help_text="Below the root of an archive")
    command = models.JSONField(
        default=list, blank=True, help_text="An argument list that replaces the detected command"
    )
    env = models.JSONField(default=dict, blank=True)
    secrets = models.JSONField(default=dict, blank=True, help_text="Ids of the secrets in its environment, by name")
    git_token = models.ForeignKey(
        "Secret", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", help_text="Opens its repository"
    )
    instances = models.PositiveIntegerField(default=1)
    grants = models.JSONField(default=list, blank=True, help_text="What its account may do beyond a service's own")
    by = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True, help_text="Why it failed, or who cancelled it")
    fence = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField()
    began_at = models.DateTimeField(null=True, blank=True, help_text="When a worker last took it")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = NamespacedManager.from_queryset(DeploymentQuerySet)()

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["state", "lease_until"]), models.Index(fields=["service", "created_at"])]
        indexes += [models.Index(fields=["namespace", "began_at"]), models.Index(fields=["lease_until"])]
        constraints = [
            models.CheckConstraint(
                name="a_deployment_has_a_reason_when_it_failed_or_was_cancelled",
                condition=Q(state__in=["failed", "cancelled"], reason__gt="")
                | (~Q(state__in=["failed", "cancelled"]) & Q(reason="")),
            ),
            models.CheckConstraint(
                name="a_deployment_is_finished_exactly_when_it_has_a_finish",
                condition=Q(state__in=["live", "failed", "superseded", "cancelled"], finished_at__isnull=False)
                | (~Q(state__in=["live", "failed", "superseded", "cancelled"]) & Q(finished_at=None)),
            ),
            models.UniqueConstraint(
                name="a_service_has_one_deployment_under_way",
                fields=["service"],
                condition=~Q(state__in=["live", "failed", "superseded", "cancelled"]),
            ),
        ]

    def __str__(self) -> str:
        return f"deployment {str(self.id)[:8]}"

    @property
    def is_replaced(self) -> bool:
        """Whether it went live, and a later one has taken its place since."""
        if self.state != self.State.LIVE:
            return False
        release = getattr(self, "release", None)
        return release is None or release.pk != self.service.release_id

    @property
    def told(self) -> str:
        """Its state as people are told it: `live` is what serves, and what served before is `replaced`."""
        return "replaced" if self.is_replaced else str(self.state)


class Build(Deployment):
    """A deployment as what comes of it before anything starts: a release, or the reason why there is none."""

    class Meta:
        proxy = True

    def __str__(self) -> str:
        return f"build {str(self.id)[:8]}"


class Release(models.Model):
    """What a deployment built: source digest, environment, command. Immutable, but for what its first start reveals."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="releases")
    deployment = models.OneToOneField(Deployment, on_delete=models.CASCADE, related_name="release")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=80, help_text="git:<commit> or sha256:<archive>")
    command = models.JSONField(help_text="An argument list")
    folder = models.CharField(max_length=1024, blank=True, help_text="Where the command runs, below the source's root")
    environment = models.CharField(max_length=64, blank=True, help_text="The key of its Python environment")
    image = models.CharField(max_length=80, blank=True, help_text="The digest of its image, where containers run it")
    env = models.JSONField(default=dict)
    secrets = models.JSONField(default=dict)
    protocol = models.CharField(max_length=4, blank=True, help_text="grpc, http, or blank until its first start")
    descriptors = models.BinaryField(default=b"")  # until its first start those of its .proto files, for their comments
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="a_release_number_is_used_once", fields=["service", "number"])]

    def __str__(self) -> str:
        return f"r{self.number}"


class ReplicaQuerySet(NamespacedQuerySet["Replica"]):
    """Questions on replicas."""

    def wanted(self) -> Self:
        """Those that should run."""
        return self.filter(is_wanted=True)

    def announced(self) -> Self:
        """Those that every live Envoy has acknowledged and that still have their endpoint."""
        return self.filter(state=Replica.State.SERVING)


class Replica(models.Model):
    """One process of a release. `is_wanted` is what should be, `state` how far the runner is."""

    class State(models.TextChoices):
        PENDING = "pending"  # to be started, at `not_before` at the earliest
        STARTING = "starting"  # the process runs, nothing answers yet
        ANNOUNCED = "announced"  # in the registry as `revision`, not yet acknowledged
        SERVING = "serving"  # acknowledged by every live Envoy
        LEAVING = "leaving"  # taken out of the registry as `revision`, not yet acknowledged
        DRAINING = "draining"  # no Envoy sends anything new; until `due_at`
        STOPPING = "stopping"  # told to stop; killed at `due_at`
        FAILED = "failed"  # did not come up; `reason` says why

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="replicas")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="replicas")
    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="replicas")
    index = models.PositiveIntegerField()
    is_wanted = models.BooleanField(default=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    port = models.PositiveIntegerField(null=True, blank=True)
    revision = models.BigIntegerField(default=0)
    crashes = models.PositiveIntegerField(default=0)
    reason = models.TextField(blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NamespacedManager.from_queryset(ReplicaQuerySet)()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="a_release_has_each_replica_once", fields=["release", "index"]),
            models.UniqueConstraint(name="a_port_belongs_to_one_replica", fields=["port"]),
        ]

    def __str__(self) -> str:
        return f"{self.node_id}:{self.state}"

    @property
    def node_id(self) -> str:
        """Its name in the registry."""
        return f"{self.service.name}-{self.id}"


class Secret(models.Model):
    """What an environment variable of a service holds or held, or a git token. Encrypted; never changed or shown."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=200)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"


class Upload(models.Model):
    """The last archive uploaded for a name and version."""

    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="uploads")
    name = models.CharField(max_length=63)
    version = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now=True)

    objects = NamespacedManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="an_upload_is_the_last_of_its_name", fields=["namespace", "name", "version"])
        ]

    def __str__(self) -> str:
        return f"source://{self.name}:{self.version}"
