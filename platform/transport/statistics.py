"""What a process counts about itself."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Statistics:
    """Calls and failed calls since the start (unix seconds)."""

    started: float = field(default_factory=time.time)
    requests: int = 0
    errors: int = 0
