"""Access rules of all namespaces, in the public schema: the gateway reads them together at every change."""

from __future__ import annotations

from django.db import models

from tenants.models import Namespace
from tenants.scoping import NamespacedManager


class Rule(models.Model):
    """One rule of a namespace. See access.Rule for what the fields mean."""

    class Access(models.TextChoices):
        GRANTED = "granted"
        DENIED = "denied"

    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="rules")
    rule_id = models.CharField(max_length=255)
    scope = models.CharField(max_length=255, blank=True)
    type = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    endpoint = models.CharField(max_length=1024)
    access = models.CharField(max_length=7, choices=Access.choices)
    priority = models.IntegerField(default=0)

    objects = NamespacedManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="a_rule_has_an_id_of_its_own", fields=["namespace", "rule_id"]),
            models.CheckConstraint(
                name="a_rule_grants_or_denies", condition=models.Q(access__in=["granted", "denied"])
            ),
        ]

    def __str__(self) -> str:
        return self.rule_id
