"""How the pages say times."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.timesince import timesince
from django.utils.timezone import now

register = template.Library()


@register.filter
def ago(moment: datetime | None) -> str:
    """How long ago, in one unit: just now, 5 minutes ago; blank for never."""
    if moment is None:
        return ""
    return "just now" if (now() - moment).total_seconds() < 60 else f"{timesince(moment, depth=1)} ago"


def spoken(began: datetime, ended: datetime) -> str:
    """A stretch of time: 0.8 s, 12 s, 2 min 5 s."""
    seconds = max(0.0, (ended - began).total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
