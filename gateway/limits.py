"""How many requests may be open at a time: each service has its share of what its namespace may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LEAST = 8  # a share is never smaller, however many services a namespace has


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one service, and of all services of a namespace together; `namespaces` has those whose plan says otherwise."""

    service: int = 1000
    namespace: int = 4000
    namespaces: Mapping[str, int] = field(default_factory=dict)

    def shares(self, namespaces: Iterable[str]) -> dict[str, int]:
        """The share of each service, by namespace; a namespace is named once for each service that it has.

        Services are counted in powers of two: few of them make the others' shares smaller when they come.
        """
        return {name: self._share(name, count) for name, count in Counter(namespaces).items()}

    def _share(self, namespace: str, services: int) -> int:
        at_least = 1 << (services - 1).bit_length()
        return min(self.service, max(LEAST, self.namespaces.get(namespace, self.namespace) // at_least))
