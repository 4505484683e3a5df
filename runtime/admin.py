"""The operator's view of what runs: rows to read, and the operations of everybody as actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import Case, Count, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from micro.errors import Error
from tenants.access.actors import account_of
from tenants.admin import AcrossNamespaces, ReadOnly, link, listing
from tenants.models import User
from transport.callers import Account

from . import operations, statuses
from .models import Build, Deployment, Release, Replica, Service
from .operations import Order


class Operated(ReadOnly):
    """Rows with actions that operators may take."""

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """An operator's; whether their account may do it there, the operation decides."""
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    def each(self, request: HttpRequest, rows: QuerySet[Any], do: Callable[[Any, Account], object], done: str) -> None:
        """Do it for each row in the name of who is logged in, and tell what became of each."""
        for row in rows.select_related("namespace"):
            try:
                do(row, account_of(cast("User", request.user), row.namespace.slug))
            except Error as error:
                self.message_user(request, f"{row}: {error.detail}", messages.ERROR)
            else:
                self.message_user(request, f"{row}: {done}", messages.SUCCESS)


class Linked(AcrossNamespaces):
    """Rows with their namespace and release as links."""

    @admin.display(description="namespace", ordering="namespace__slug")
    def namespace_link(self, row: Any) -> SafeString | str:
        """A link to the namespace."""
        return link(row.namespace)

    @admin.display(description="release", ordering="release__number")
    def release_link(self, row: Any) -> SafeString | str:
        """A link to the release, where there is one."""
        return link(getattr(row, "release", None))


class OfAService(Linked):
    """The same, of rows that belong to a service."""

    @admin.display(description="service", ordering="service__name")
    def service_link(self, row: Any) -> SafeString | str:
        """A link to the service."""
        return link(row.service)


class Life(SimpleListFilter):
    """Living services or killed ones."""

    title, parameter_name = "life", "life"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices besides all."""
        return [("alive", "Alive"), ("killed", "Killed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The chosen ones."""
        chosen = {"alive": Q(deleted_at=None), "killed": Q(deleted_at__isnull=False)}
        return queryset.filter(chosen.get(self.value() or "", Q()))


@admin.register(Service)
class ServiceAdmin(Linked, Operated):
    """Services, and the action that deploys their source anew."""

    fields = (
        "id",
        "namespace_link",
        "name",
        "version",
        "state",
        "address",
        "source",
        "owner",
        "release_link",
        "created_at",
        "updated_at",
        "deleted_at",
        "belongings",
    )
    list_display = ("name", "version", "namespace_link", "state", "serving", "release_link", "owner", "updated_at")
    list_filter = (Life, "namespace__environment", "updated_at")
    list_select_related = ("namespace", "release")
    search_fields = ("name", "version", "source", "owner", "namespace__slug", "id")
    ordering = ("namespace__slug", "name", "version")
    actions = ("deploy",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        """With the state of the last deployment and the number of replicas that serve."""
        last = Deployment.objects.across_namespaces().filter(service=OuterRef("pk")).order_by("-created_at")
        serving = Count("replicas", filter=Q(replicas__state=Replica.State.SERVING))
        rows: QuerySet[Service] = super().get_queryset(request)
        return rows.annotate(last_state=Subquery(last.values("state")[:1]), serving_count=serving)

    @admin.action(description="Deploy the source of the selected services anew", permissions=["operate"])
    def deploy(self, request: HttpRequest, queryset: QuerySet[Service]) -> None:
        """What `micro update` does."""

        def update(row: Service, by: Account) -> Deployment:
            order = Order(source="")
            return operations.update(namespace=row.namespace, name=row.name, version=row.version, order=order, by=by)

        self.each(request, queryset, update, "a new deployment is queued.")

    @admin.display(description="last deployment", ordering="last_state")
    def state(self, row: Any) -> str:
        """The last deployment's state."""
        return "killed" if row.deleted_at else row.last_state or "-"

    @admin.display(description="replicas", ordering="serving_count")
    def serving(self, row: Any) -> SafeString:
        """A link to its replicas, by how many serve."""
        return listing(Replica, f"{row.serving_count} serving", service__id__exact=row.pk)

    @admin.display
    def address(self, row: Service) -> SafeString | str:
        """Where it answers."""
        url = statuses.address(row)
        return format_html('<a href="{}">{}</a>', url, url) if url else "-"

    @admin.display(description="what it has")
    def belongings(self, row: Service) -> SafeString:
        """Links to its deployments, releases and replicas."""
        found = (Deployment, Build, Release, Replica)
        links = [listing(model, model._meta.verbose_name_plural, service__id__exact=row.pk) for model in found]
        return format_html_join(", ", "{}", ((found,) for found in links))


@admin.register(Deployment)
class DeploymentAdmin(OfAService, Operated):
    """Deployments, and the action that tries one again. Values of variables are not shown."""

    fields = (
        "id",
        "service_link",
        "namespace_link",
        "state",
        "reason",
        "source",
        "folder",
        "command",
        "variables",
        "instances",
        "by",
        "build_link",
        "release_link",
        "attempts",
        "began_at",
        "lease_until",
        "created_at",
        "finished_at",
        "took",
    )
    list_display = ("__str__", "service_link", "namespace_link", "state", "by", "release_link", "took", "created_at")
    list_filter = ("state", "namespace__environment", "created_at")
    list_select_related = ("service", "namespace", "release")
    search_fields = ("id", "service__name", "namespace__slug", "source", "by", "reason")
    ordering = ("-created_at",)
    actions = ("retry", "cancel")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        """With the time that it took."""
        rows: QuerySet[Deployment] = super().get_queryset(request)
        return rows.annotate(duration=F("finished_at") - F("created_at"))

    @admin.action(description="Try the selected deployments again", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Deployment]) -> None:
        """Deploy anew what they deployed."""

        def redeploy(row: Deployment, by: Account) -> Deployment:
            return operations.redeploy(namespace=row.namespace, deployment_id=row.pk, by=by)

        self.each(request, queryset, redeploy, "it is queued again.")

    @admin.action(description="Cancel the selected deployments", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Deployment]) -> None:
        """End those that are under way."""

        def end(row: Deployment, by: Account) -> Deployment:
            return operations.cancel(namespace=row.namespace, deployment_id=row.pk, by=by)

        self.each(request, queryset, end, "it is cancelled.")

    @admin.display(description="build")
    def build_link(self, row: Deployment) -> SafeString | str:
        """A link to how it was built."""
        return link(Build(pk=row.pk))

    @admin.display
    def variables(self, row: Deployment) -> str:
        """The names of its variables."""
        return ", ".join(sorted({*row.env, *row.secrets})) or "-"

    @admin.display(ordering="duration")
    def took(self, row: Any) -> str:
        """How long it took."""
        return f"{row.duration.total_seconds():.1f} s" if row.duration else "-"


class Outcome(SimpleListFilter):
    """What became of builds."""

    title, parameter_name = "outcome", "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices besides all."""
        return [
            (outcome, outcome.capitalize()) for outcome in ("built", "failed", "under way", "superseded", "cancelled")
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The chosen ones."""
        return queryset.filter(outcome=self.value()) if self.value() else queryset


@admin.register(Build)
class BuildAdmin(OfAService, ReadOnly):
    """Builds: what was made of which source, for how long, and where its log is."""

    fields = (
        "id",
        "deployment_link",
        "service_link",
        "namespace_link",
        "outcome",
        "why",
        "source",
        "folder",
        "digest",
        "image",
        "release_link",
        "log",
        "attempts",
        "created_at",
        "took",
    )
    list_display = ("__str__", "service_link", "namespace_link", "outcome", "digest", "took", "log", "created_at")
    list_filter = (Outcome, "namespace__environment", "created_at")
    list_select_related = ("service", "namespace", "release")
    search_fields = ("id", "service__name", "namespace__slug", "source", "release__digest", "reason")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Build]:
        """With what became of each, and when."""
        outcome = Case(
            When(release__isnull=False, then=Value("built")),
            When(state__in=Build.FINAL, then="state"),
            default=Value("under way"),
        )
        ended = Coalesce("release__created_at", "finished_at")
        rows: QuerySet[Build] = super().get_queryset(request)
        return rows.annotate(outcome=outcome, duration=ended - F("created_at"))

    @admin.display(ordering="outcome")
    def outcome(self, row: Any) -> str:
        """What became of it."""
        return str(row.outcome)

    @admin.display(description="reason")
    def why(self, row: Any) -> str:
        """Why there is no release; what failed later is the deployment's."""
        return (row.reason if row.outcome != "built" else "") or "-"

    @admin.display(description="deployment")
    def deployment_link(self, row: Build) -> SafeString | str:
        """A link to the deployment whose build it is."""
        return link(Deployment(pk=row.pk))

    @admin.display(description="commit or digest", ordering="release__digest")
    def digest(self, row: Build) -> str:
        """What was built."""
        release = getattr(row, "release", None)
        return release.digest[:16] if release else "-"

    @admin.display
    def image(self, row: Build) -> str:
        """The image that it made, where containers run it."""
        release = getattr(row, "release", None)
        return (release.image if release else "") or "-"

    @admin.display
    def log(self, row: Build) -> SafeString | str:
        """A link to its log, which goes with the service."""
        if row.service.deleted_at:
            return "-"
        return format_html('<a href="{}">log</a>', reverse("deployment-log", args=[row.namespace.slug, row.pk]))

    @admin.display(ordering="duration")
    def took(self, row: Any) -> str:
        """How long it took, with the wait for a worker."""
        return f"{row.duration.total_seconds():.1f} s" if row.duration else "-"


@admin.register(Release)
class ReleaseAdmin(ReadOnly):
    """Releases: what was built, for ever as it was."""

    fields = (
        "id",
        "service_link",
        "number",
        "deployment_link",
        "digest",
        "command",
        "folder",
        "environment",
        "protocol",
        "variables",
        "replicas",
        "created_at",
    )
    list_display = ("id", "service_link", "number", "digest", "protocol", "deployment_link", "replicas", "created_at")
    list_filter = ("protocol", "service__namespace__environment", "created_at")
    list_select_related = ("service__namespace", "deployment")
    search_fields = ("digest", "service__name", "service__namespace__slug", "deployment__id")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Release]:
        """With the number of replicas."""
        rows: QuerySet[Release] = super().get_queryset(request).annotate(replica_count=Count("replicas"))
        return rows.defer("descriptors")

    @admin.display(description="service", ordering="service__name")
    def service_link(self, row: Release) -> SafeString | str:
        """A link to the service, with its namespace."""
        return link(row.service, f"{row.service.namespace}/{row.service}")

    @admin.display(description="deployment")
    def deployment_link(self, row: Release) -> SafeString | str:
        """A link to the deployment that made it."""
        return link(row.deployment, str(row.deployment_id)[:8])

    @admin.display(ordering="replica_count")
    def replicas(self, row: Any) -> SafeString:
        """A link to its replicas."""
        return listing(Replica, row.replica_count, release__id__exact=row.pk)

    @admin.display
    def variables(self, row: Release) -> str:
        """The names of its variables."""
        return ", ".join(sorted({*row.env, *row.secrets})) or "-"


@admin.register(Replica)
class ReplicaAdmin(OfAService, ReadOnly):
    """Replicas: what runs, and how far the runner is with it."""

    fields = (
        "id",
        "service_link",
        "namespace_link",
        "release_link",
        "index",
        "state",
        "is_wanted",
        "port",
        "revision",
        "crashes",
        "reason",
        "due_at",
        "not_before",
        "changed_at",
        "created_at",
    )
    list_display = ("id", "service_link", "namespace_link", "release_link", "index", "state", "is_wanted", "crashes")
    list_filter = ("state", "is_wanted", "namespace__environment", "created_at")
    list_select_related = ("service", "namespace", "release")
    search_fields = ("id", "service__name", "namespace__slug", "reason", "port")
    ordering = ("namespace__slug", "service__name", "index")
