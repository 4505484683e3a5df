"""Which release and which replica of a service printed a line."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from transport.tenancy import in_public

from .logs import Line
from .models import Release, Service


class Origins:
    """What is known of the writers of one service's log; a query for all of them, and one for each new release."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._numbers: dict[str, str] = {}  # of releases, by deployment
        self._known: dict[str, dict[str, str]] = {}  # by origin

    async def of(self, line: Line) -> Mapping[str, str]:
        """The number of its `release`, unless that is long given up, and its `replica`, as the registry names it.

        A build's line has neither.
        """
        if (known := self._known.get(line.origin)) is None:
            known = self._known[line.origin] = await self._look_up(line.origin)
        return known

    async def document(self, line: Line) -> dict[str, object]:
        """A line as JSON, with what is known of its writer."""
        known = await self.of(line)
        release = {"release": int(known["release"])} if "release" in known else {}
        return {**line.document(), **known, **release}

    async def _look_up(self, origin: str) -> dict[str, str]:
        deployment, _, replica = origin.partition(".")
        if not replica:
            return {}
        if deployment not in self._numbers:
            self._numbers = {deployment: "", **await in_public(_numbers, self._service.pk)}
        found = {"release": self._numbers[deployment], "replica": f"{self._service.name}-{replica}"}
        return {name: text for name, text in found.items() if text}


def _numbers(service_id: UUID) -> dict[str, str]:
    """The numbers of a service's releases, by deployment."""
    rows = Release.objects.filter(service=service_id).values_list("deployment_id", "number")
    return {str(deployment_id): str(number) for deployment_id, number in rows}
