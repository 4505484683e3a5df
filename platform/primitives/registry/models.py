"""Nodes of all namespaces, what they speak, and how far each Envoy has followed. All in the public schema."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.models import Namespace
from tenants.scoping import NamespacedManager


class DescriptorSet(models.Model):
    """A serialized FileDescriptorSet, kept once however many nodes have it."""

    sha256 = models.CharField(primary_key=True, max_length=64)
    content = models.BinaryField()
    expanded_bytes = models.BigIntegerField(default=0, help_text="About what the gateway makes of it; 0: not known.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.sha256


class Node(models.Model):
    """One listening replica. Without a lease the runner answers for its life; with one it lives while that is renewed.

    The column `namespace` holds the slug, so that readers need no join.
    """

    class Protocol(models.TextChoices):
        GRPC = "grpc"
        HTTP = "http"

    namespace = models.ForeignKey(
        Namespace, to_field="slug", db_column="namespace", on_delete=models.CASCADE, related_name="nodes"
    )
    service = models.CharField(max_length=63)
    version = models.CharField(max_length=200)
    protocol = models.CharField(max_length=4, choices=Protocol.choices)
    node_id = models.CharField(max_length=255)
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField()
    metadata = models.JSONField(default=dict)
    descriptors = models.ForeignKey(
        DescriptorSet, null=True, db_column="descriptors", on_delete=models.PROTECT, related_name="nodes"
    )
    advertised = models.BinaryField(
        default=bytes,
        help_text="A registry.Service message: what a node registered from outside says of its endpoints.",
    )
    is_leased = models.BooleanField(default=False)
    revision = models.BigIntegerField(help_text="The revision that brought the row into this state.")

    objects = NamespacedManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="a_node_is_registered_once", fields=["namespace", "node_id"]),
            models.CheckConstraint(name="a_node_speaks_grpc_or_http", condition=Q(protocol__in=["grpc", "http"])),
            models.CheckConstraint(name="a_node_has_a_port", condition=Q(port__gte=1, port__lte=65535)),
        ]
        indexes = [models.Index(name="nodes_of_a_service", fields=["namespace", "service"])]

    def __str__(self) -> str:
        return self.node_id


class UnusedInterface(models.Model):
    """A service whose descriptors the gateway does not use, and why, as its user is told."""

    namespace = models.ForeignKey(Namespace, to_field="slug", db_column="namespace", on_delete=models.CASCADE)
    service = models.CharField(max_length=63)
    reason = models.TextField()

    objects = NamespacedManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="an_unused_interface_is_told_once", fields=["namespace", "service"])
        ]

    def __str__(self) -> str:
        return f"{self.namespace_id}/{self.service}"


class Lease(models.Model):
    """Until when a leased node lives. The table is unlogged: after a crash of Postgres services register anew."""

    node = models.OneToOneField(Node, primary_key=True, on_delete=models.CASCADE, related_name="lease")
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.node_id} until {self.expires_at}"


class Revision(models.Model):
    """One row. Every change of the registry takes the next value under its lock, so that they commit in order."""

    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.value)


class EnvoyAck(models.Model):
    """The last revision that an Envoy has acknowledged, and whether its stream was open `at` that time."""

    envoy_id = models.CharField(primary_key=True, max_length=255)
    pid = models.BigIntegerField()
    revision = models.BigIntegerField()
    connected = models.BooleanField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.envoy_id} has {self.revision}"
