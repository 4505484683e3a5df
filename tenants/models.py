"""Environments, namespaces, users and memberships. All in the public schema."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin, UserManager
from django.db import models
from django.utils.timezone import now
from django_tenants.models import DomainMixin, TenantMixin

from .scoping import NamespacedManager


def _limit(what: str) -> models.PositiveBigIntegerField:  # type: ignore[type-arg]
    return models.PositiveBigIntegerField(null=True, blank=True, help_text=what)


class Plan(models.Model):
    """What a namespace may use. A limit that is null is what the server's settings say, see quotas.SETTINGS."""

    name = models.SlugField(primary_key=True)
    replicas = _limit("of all services together")
    accounts = _limit("those of members are not counted")
    rules = _limit("of access")
    nodes = _limit("that services announce themselves")
    records = _limit("of the store")
    record_bytes = _limit("of the store's keys, values and metadata")
    blob_bytes = _limit("of blobs")
    config_bytes = _limit("of the configuration as it is now")
    event_bytes = _limit("of all topics; the oldest events go first")
    event_age = models.DurationField(null=True, blank=True, help_text="then an event is gone, consumed or not")
    groups = _limit("of consumers")
    consumers = _limit("of events, open at a time")
    events_per_s = _limit("published")
    dead_letters = _limit("kept; the oldest go first")
    messages_per_s = _limit("published through the broker")
    subscribers = _limit("of the broker, open at a time")

    def __str__(self) -> str:
        return self.name


class Environment(models.Model):  # type: ignore[django-manager-missing]
    """A tier of one server, made by the operator: its name and the domain under which its namespaces get hosts."""

    name = models.SlugField(primary_key=True)
    base_domain = models.CharField(max_length=200)
    plan = models.ForeignKey(
        Plan,
        on_delete=models.PROTECT,
        default="default",
        related_name="+",
        help_text="Of those without their own.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Namespace(TenantMixin):  # type: ignore[misc]
    """A tenant. `slug` is its name everywhere outside the database; its schema is named by id, never by text."""

    slug = models.CharField(max_length=40, unique=True)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="namespaces")
    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="Null: its environment's."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    auto_create_schema = False  # operations.create_namespace makes it: no work in save()

    def __str__(self) -> str:
        return self.slug


class Domain(DomainMixin):  # type: ignore[misc]
    """A host of a namespace's own."""


class User(AbstractBaseUser, PermissionsMixin):
    """A person. The only place where a person's password is kept."""

    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField(blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["email"]

    def __str__(self) -> str:
        return self.username


class Membership(models.Model):
    """A user's place in a namespace."""

    class Role(models.TextChoices):
        ADMIN = "admin"
        MEMBER = "member"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NamespacedManager()

    class Meta:
        constraints = [models.UniqueConstraint(name="a_user_is_a_member_once", fields=["user", "namespace"])]

    def __str__(self) -> str:
        return f"{self.user} in {self.namespace}"


class SigningKey(models.Model):
    """A key pair that signs the tokens of all namespaces; the private half is encrypted by SECRET_KEY."""

    kid = models.CharField(primary_key=True, max_length=64)
    private_key = models.BinaryField()
    public_key = models.TextField(help_text="PEM")
    created_at = models.DateTimeField(default=now)
    retired_at = models.DateTimeField(null=True, help_text="From then on it verifies, but signs no more.")

    def __str__(self) -> str:
        return self.kid


class Attempts(models.Model):
    """Wrong secrets that came with the same key, see throttling. Forgotten at `until`."""

    key = models.CharField(primary_key=True, max_length=64, help_text="A digest: nobody's address is kept.")
    count = models.PositiveIntegerField()
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} until {self.until}"
