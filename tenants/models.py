"""Environments, namespaces, users and memberships. All in the public schema."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin, UserManager
from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Environment(models.Model):
    """A tier of one server, made by the operator: its name and the domain under which its namespaces get hosts."""

    name = models.SlugField(primary_key=True)
    base_domain = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Namespace(TenantMixin):
    """A tenant. `slug` is its name everywhere outside the database; its schema is named by id, never by text."""

    slug = models.CharField(max_length=40, unique=True)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="namespaces")
    created_at = models.DateTimeField(auto_now_add=True)

    auto_create_schema = True

    def __str__(self) -> str:
        return self.slug


class Domain(DomainMixin):
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

    class Meta:
        constraints = [models.UniqueConstraint(name="a_user_is_a_member_once", fields=["user", "namespace"])]

    def __str__(self) -> str:
        return f"{self.user} in {self.namespace}"
