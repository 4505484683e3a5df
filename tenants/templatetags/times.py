"""How the pages say times."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.timezone import now

register = template.Library()


@register.filter
def ago(moment: datetime | None) -> str:
    """How long ago, in one unit: just now, 5 minutes ago; when exactly, under the pointer. Blank for never."""
    if moment is None:
        return ""
    words = "just now" if (now() - moment).total_seconds() < 60 else f"{timesince(moment, depth=1)} ago"
    exactly = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exactly, words)


def spoken(began: datetime, ended: datetime) -> str:
    """A stretch of time: 0.8 s, 12 s, 2 min 5 s."""
    seconds = max(0.0, (ended - began).total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
