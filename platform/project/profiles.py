"""The profiles of a server: `local` is for one person's own machine, `platform` serves others and refuses defaults."""

from __future__ import annotations

LOCAL = "local"
PROFILES = (LOCAL, "platform")
DEFAULT_ADMIN_PASSWORD = "micro"  # noqa: S105 - documented; refused by every profile but local
