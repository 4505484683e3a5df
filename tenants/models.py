"""Environments, namespaces, users and memberships. All in the public schema."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin, UserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.timezone import now
from django_tenants.models import DomainMixin, TenantMixin

from .scoping import NamespacedManager, NamespacedQuerySet


def _limit(what: str) -> models.PositiveBigIntegerField:  # type: ignore[type-arg]
    return models.PositiveBigIntegerField(null=True, blank=True, help_text=what)


class Plan(models.Model):
    """What a namespace may use. A limit that is null is what the server's settings say, see quotas.SETTINGS."""

    name = models.SlugField(primary_key=True)
    replicas = _limit("of all services together")
    accounts = _limit("those of members are not counted")
    rules = _limit("of access")
    nodes = _limit("that services announce themselves")
    requests = _limit("to all services together, open at a time")
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
    streams = _limit("of all services, open at a time")
    builds = _limit("at a time")
    log_bytes = _limit("of what services and builds print; the oldest lines go first")
    upload_bytes = _limit("of sources that were sent and are kept")

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
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="an_address_has_one_user", condition=~models.Q(email=""))
        ]

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


class ApiTokenQuerySet(NamespacedQuerySet["ApiToken"]):
    """Questions on API tokens."""

    def usable(self, at: datetime) -> Self:
        """Those that still open a door at `at`, each with its membership, user and namespace."""
        alive = self.filter(Q(expires_at=None) | Q(expires_at__gt=at), membership__user__is_active=True)
        return alive.select_related("membership__user", "membership__namespace")


class ApiToken(models.Model):
    """A secret by which a program acts for a member. Only its digest is kept; it dies with the membership."""

    class Role(models.TextChoices):
        READER = "reader"
        MEMBER = "member"
        ADMIN = "admin"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="api_tokens")
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token.")
    hint = models.CharField(max_length=16, help_text="Its first characters, to know it by.")
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NamespacedManager.from_queryset(ApiTokenQuerySet)()

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(name="a_member_names_an_api_token_once", fields=["membership", "name"])]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"


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


class EmailCode(models.Model):
    """A code that was sent to an address. What is kept of it is a seed, from which the server's key makes the code."""

    class Purpose(models.TextChoices):
        SIGN_UP = "sign-up"
        RESET = "reset"

    email = models.EmailField()
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    seed = models.CharField(max_length=32)
    attempts = models.PositiveIntegerField(default=0, help_text="Wrong ones, from anywhere.")
    drawn_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="an_address_has_one_code_for_a_purpose", fields=["email", "purpose"])
        ]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.email}"


class DeviceLogin(models.Model):
    """A program without a browser that wants to log in. What is kept of its own code is a digest."""

    digest = models.CharField(primary_key=True, max_length=64, help_text="SHA-256 of the device code.")
    user_code = models.CharField(max_length=8, unique=True, help_text="What its user types or compares.")
    program = models.CharField(max_length=100, help_text="What it calls itself.")
    origin = models.CharField(max_length=60, help_text="The network address that asked.")
    wanted = models.CharField(max_length=40, blank=True, help_text="The namespace it asked for.")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+", help_text="Who confirmed it.")
    chosen = models.ForeignKey(
        Namespace, on_delete=models.CASCADE, null=True, related_name="+", help_text="Where it may act."
    )
    is_refused = models.BooleanField(default=False)
    polled_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_device_is_confirmed_by_a_user_for_a_namespace_or_refused",
                condition=Q(user=None, chosen=None) | Q(user__isnull=False, chosen__isnull=False, is_refused=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.program} at {self.origin}"


class Budget(models.Model):
    """How often something was done in the current window of its rate limit."""

    key = models.CharField(primary_key=True, max_length=300)
    spent = models.PositiveIntegerField()
    renewed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.key}: {self.spent}"
