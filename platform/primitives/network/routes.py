"""The registry seen as routes: where a service of a network is reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from micro.proto import registry_pb2, router_pb2

ANYTHING = "*"
LINK, METRIC = "local", 1


@dataclass(frozen=True, slots=True)
class Query:
    """What a route must be; blank and `*` stand for anything."""

    service: str = ""
    address: str = ""
    gateway: str = ""
    router: str = ""
    link: str = ""

    def fits(self, route: router_pb2.Route) -> bool:
        """Whether the route is one that is asked for. Every network has its own registry: it is not asked here."""
        asked = {name: getattr(self, name) for name in self.__slots__}
        return all(value in ("", ANYTHING, getattr(route, name)) for name, value in asked.items())


def routes_of(services: Iterable[registry_pb2.Service], *, gateway: str, router: str) -> Iterator[router_pb2.Route]:
    """One route to each node. `gateway` is the address through which a caller reaches all of them by name."""
    for service in services:
        for node in service.nodes:
            yield router_pb2.Route(
                service=service.name,
                address=node.address,
                gateway=gateway,
                network=service.metadata["domain"],
                router=router,
                link=LINK,
                metric=METRIC,
                metadata={**node.metadata, "version": service.version},
            )
