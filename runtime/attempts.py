"""One worker's attempt at a deployment: where its files and log are, and whether it may go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from . import folders, processes


@dataclass(frozen=True, slots=True)
class Attempt:
    """What fetching and building need to know. `may_go_on` is asked often; it says no or raises to end the work."""

    namespace: str
    deployment_id: UUID
    log: Path
    may_go_on: Callable[[], bool]

    @property
    def folder(self) -> Path:
        """The build's folder."""
        return folders.build(self.namespace, self.deployment_id)

    @property
    def source(self) -> Path:
        """Where the files are put."""
        return self.folder / "source"

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        may_go_on: Callable[[], bool] | None = None,
    ) -> int:
        """Run a program, its output in the log, for as long as the attempt may go on; its exit status."""
        return processes.run(
            argv,
            record=folders.jobs() / str(self.deployment_id),
            env=env,
            cwd=cwd,
            output=self.log,
            keep_going=may_go_on or self.may_go_on,
        )
