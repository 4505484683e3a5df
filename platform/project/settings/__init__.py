"""Django's settings, by topic. The environment is read here and nowhere else; the rest is constants."""

from __future__ import annotations

from .base import *  # noqa: F403
from .blobs import *  # noqa: F403
from .config import *  # noqa: F403
from .database import *  # noqa: F403
from .docker import *  # noqa: F403
from .events import *  # noqa: F403
from .gateway import *  # noqa: F403
from .jobs import *  # noqa: F403
from .logging import *  # noqa: F403
from .runtime import *  # noqa: F403
from .sidecar import *  # noqa: F403
from .tenants import *  # noqa: F403
from .web import *  # noqa: F403
