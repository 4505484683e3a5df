"""Accounts and their refresh tokens, in each namespace's own schema."""

from __future__ import annotations

import uuid

from django.db import models


class Account(models.Model):
    """Someone or something that calls. `user_id` is the public User whose membership made it; then it has no secret."""

    account_id = models.CharField(max_length=255, unique=True)
    name = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=40, default="account")
    scopes = models.JSONField(default=list)
    metadata = models.JSONField(default=dict)
    secret = models.CharField(max_length=255, blank=True, help_text="Hashed.")
    user_id = models.BigIntegerField(null=True, unique=True)
    made_by = models.CharField(
        max_length=255, blank=True, help_text="The id of the service's account that made it, with which it goes."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="an_account_has_a_secret_exactly_when_no_user_is_behind_it",
                condition=models.Q(user_id=None, secret__gt="") | models.Q(user_id__isnull=False, secret=""),
            ),
            models.CheckConstraint(
                name="an_account_is_of_type_user_exactly_when_a_user_is_behind_it",
                condition=models.Q(user_id__isnull=False, type="user")
                | (models.Q(user_id=None) & ~models.Q(type="user")),
            ),
        ]

    def __str__(self) -> str:
        return self.account_id


class RefreshToken(models.Model):
    """One link of a chain: every use makes a successor. `lapses_at` is set when a successor was first used."""

    digest = models.CharField(primary_key=True, max_length=64, help_text="SHA-256 of the token.")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="refresh_tokens")
    credential = models.CharField(
        max_length=64, help_text="Of the secret that its chain began with: when that is changed, the chain ends."
    )
    family = models.UUIDField(default=uuid.uuid4, db_index=True)
    parent = models.CharField(max_length=64, blank=True, db_index=True, help_text="The digest this one succeeds.")
    used_at = models.DateTimeField(null=True)
    lapses_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.family}/{self.digest[:8]}"
