"""Where the commands of a build in place run: what they may write and, where walls can be had, what they see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runtime import folders
from runtime.attempts import Attempt
from runtime.backends import bubblewrap
from runtime.sources import Fetched

from . import limits


def run(
    argv: Sequence[str],
    attempt: Attempt,
    fetched: Fetched,
    *,
    env: Mapping[str, str],
    cache_at: Path | None = None,
    shown: Iterable[Path] = (),
) -> int:
    """Run one command of a build in the service's folder; its exit status.

    It may write to the source, to its namespace's cache and to a scratch folder that is its HOME. Within walls the
    cache is seen at `cache_at`, and of what walls hide also what is `shown`. Raises as `limits.run` does.
    """
    scratch = folders.made(folders.scratch(attempt.namespace, attempt.deployment_id))
    cache = folders.cache(attempt.namespace)
    env = {"USER": "micro", **env, "HOME": str(scratch), "TMPDIR": str(scratch)}
    if not bubblewrap.is_used():
        return limits.run(argv, attempt, env=env, cwd=fetched.path)
    attempt.log.touch()
    for path in (scratch, cache, fetched.root, attempt.log):
        bubblewrap.give(path)
    writable = {fetched.root: fetched.root, cache_at or cache: cache, scratch: scratch}
    room = bubblewrap.Room(fetched.path, writable, shown=shown)
    return limits.run(bubblewrap.around(argv, room), attempt, env=env, cwd=Path("/"))
