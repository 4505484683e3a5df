"""network.Network and router.Router on the wire: the registry as routes.

Envoy routes here. What told Micro's own proxies and tunnels about each other has nothing to act on, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.message import Message

from micro.errors import InvalidArgument, NotFound, Unimplemented
from micro.proto import network_pb2, registry_pb2, router_pb2
from tenants.access.actors import needs
from tenants.access.permissions import Permission
from transport.callers import PLATFORM_NAMESPACE, Caller, authorize, require_account
from transport.methods import Methods, refuse, server_stream, unary

from .routes import ANYTHING, Query, routes_of

NODE = "envoy"
WHY_NO_NODES_JOIN = "Nodes do not join by a call here: every Envoy of this server follows the registry by itself."
WHY_NO_STATUS = "The network keeps no state of its own; debug.Debug.Health says how the platform is."
WHY_NO_TABLE = "Routes are not set by hand here: they follow from what is registered, see registry.Registry."
WHY_NO_WATCH = "Routes change when the registry does: use registry.Registry.Watch."


class Services(Protocol):
    """What is registered in a namespace, or in all of them (`*`)."""

    async def __call__(self, *, namespace: str) -> list[registry_pb2.Service]: ...


class Network:
    """The methods of both services. `address` is where every service of a namespace is reached by its name."""

    def __init__(self, services: Services, *, address: str) -> None:
        self._services = services
        self._address = address

    def network_methods(self) -> Methods:
        """The table of `network`."""
        pb = network_pb2
        return {
            "Network.Routes": unary(
                self.routes, request=pb.RoutesRequest, response=pb.RoutesResponse, scope=needs(Permission.NETWORK_READ)
            ),
            "Network.Services": unary(
                self.services,
                request=pb.ServicesRequest,
                response=pb.ServicesResponse,
                scope=needs(Permission.NETWORK_READ),
            ),
            "Network.Nodes": unary(
                self.nodes, request=pb.NodesRequest, response=pb.NodesResponse, scope=needs(Permission.NETWORK_READ)
            ),
            "Network.Graph": unary(
                self.graph, request=pb.GraphRequest, response=pb.GraphResponse, scope=needs(Permission.NETWORK_READ)
            ),
            "Network.Connect": unary(
                refuse(WHY_NO_NODES_JOIN),
                request=pb.ConnectRequest,
                response=pb.ConnectResponse,
                scope=needs(Permission.NETWORK_READ),
            ),
            "Network.Status": unary(
                refuse(WHY_NO_STATUS),
                request=pb.StatusRequest,
                response=pb.StatusResponse,
                scope=needs(Permission.NETWORK_READ),
            ),
        }

    def router_methods(self) -> Methods:
        """The table of `router`."""
        pb = router_pb2
        return {
            "Router.Lookup": unary(
                self.lookup, request=pb.LookupRequest, response=pb.LookupResponse, scope=needs(Permission.NETWORK_READ)
            ),
            "Router.Watch": server_stream(
                _refuse_stream(WHY_NO_WATCH),
                request=pb.WatchRequest,
                response=pb.Event,
                scope=needs(Permission.NETWORK_READ),
            ),
            "Table.Create": unary(
                refuse(WHY_NO_TABLE), request=pb.Route, response=pb.CreateResponse, scope=needs(Permission.NETWORK_READ)
            ),
            "Table.Delete": unary(
                refuse(WHY_NO_TABLE), request=pb.Route, response=pb.DeleteResponse, scope=needs(Permission.NETWORK_READ)
            ),
            "Table.Read": unary(
                refuse(WHY_NO_TABLE),
                request=pb.ReadRequest,
                response=pb.ReadResponse,
                scope=needs(Permission.NETWORK_READ),
            ),
            "Table.Update": unary(
                refuse(WHY_NO_TABLE), request=pb.Route, response=pb.UpdateResponse, scope=needs(Permission.NETWORK_READ)
            ),
        }

    async def lookup(self, request: router_pb2.LookupRequest, caller: Caller) -> router_pb2.LookupResponse:
        """The routes to one service."""
        if not request.service:
            raise InvalidArgument("The field service is blank: whose routes?")
        options = request.options
        query = Query(
            service=request.service,
            address=options.address,
            gateway=options.gateway,
            router=options.router,
            link=options.link,
        )
        routes = await self._routes(caller, options.network, query)
        if not routes:
            raise NotFound("route not found")
        return router_pb2.LookupResponse(routes=routes)

    async def routes(self, request: network_pb2.RoutesRequest, caller: Caller) -> network_pb2.RoutesResponse:
        """The routes of a network, which is a namespace."""
        asked = request.query
        query = Query(service=asked.service, address=asked.address, gateway=asked.gateway, router=asked.router)
        return network_pb2.RoutesResponse(routes=await self._routes(caller, asked.network, query))

    async def services(self, _request: network_pb2.ServicesRequest, caller: Caller) -> network_pb2.ServicesResponse:
        """The names of the services of the caller's namespace; of all for those who cross namespaces."""
        account = require_account(caller)
        found = await self._services(namespace=ANYTHING if account.crosses_namespaces else account.issuer)
        return network_pb2.ServicesResponse(services=sorted({service.name for service in found}))

    async def nodes(self, _request: network_pb2.NodesRequest, _caller: Caller) -> network_pb2.NodesResponse:
        """The one node that there is: the door through which services reach each other."""
        return network_pb2.NodesResponse(nodes=[self._node()])

    async def graph(self, _request: network_pb2.GraphRequest, _caller: Caller) -> network_pb2.GraphResponse:
        """That node, without peers."""
        return network_pb2.GraphResponse(root=network_pb2.Peer(node=self._node()))

    async def _routes(self, caller: Caller, network: str, query: Query) -> list[router_pb2.Route]:
        """The routes that fit, in a namespace that the caller may look into; blank is the caller's own."""
        namespace = authorize(caller, network)
        found = routes_of(await self._services(namespace=namespace), gateway=self._address, router=NODE)
        return [route for route in found if query.fits(route)]

    def _node(self) -> network_pb2.Node:
        return network_pb2.Node(id=NODE, address=self._address, network=PLATFORM_NAMESPACE)


def _refuse_stream(why: str) -> Callable[[Message, Caller], Any]:
    async def refuse(_request: Message, _caller: Caller) -> Any:
        raise Unimplemented(why)
        yield  # what makes it a stream

    return refuse
