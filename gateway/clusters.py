"""Clusters and their endpoints: where a service's replicas are and how they are spoken to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import any_pb2, duration_pb2, wrappers_pb2

from .state import Address, Service

SIDECAR = "sidecar"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PLENTY = 1_000_000  # the sidecar counts by account and namespace; a limit here would be one for all of them together
OURS = "micro"  # where a cluster's metadata says how many requests it may have open, for the refusal of one more
BUFFER_BYTES = 32 * 1024
STREAM_WINDOW_BYTES = 64 * 1024
CONNECTION_WINDOW_BYTES = 1024 * 1024
# Shorter than the keep-alive of the usual HTTP servers (2 to 5 s): they never close a connection under a request.
HTTP_IDLE_S = 1


def ads() -> config_source_pb2.ConfigSource:
    """From the stream that everything else comes on."""
    return config_source_pb2.ConfigSource(ads={}, resource_api_version="V3")


def name(service: Service) -> str:
    """The cluster of a service."""
    return f"{service.namespace}/{service.name}"


def service_cluster(service: Service, *, requests: int) -> cluster_pb2.Cluster:
    """A service's cluster, of `requests` at a time. It holds nothing that changes when replicas come and go."""
    told = base_pb2.Metadata()
    told.filter_metadata[OURS]["requests"] = str(requests)
    return cluster_pb2.Cluster(
        name=name(service),
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config={"eds_config": ads()},
        ignore_health_on_host_removal=True,
        metadata=told,
        **_common(http2=service.protocol == "grpc", requests=requests),
    )


def service_endpoints(service: Service) -> endpoint_pb2.ClusterLoadAssignment:
    """A service's endpoints. One that is no IP address is left out: Envoy would refuse the whole."""
    usable = sorted(endpoint for endpoint in service.endpoints if _is_usable(endpoint))
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name(service), endpoints=[_locality(_at(host, port) for host, port in usable)] if usable else []
    )


def sidecar_cluster(sockets: Iterable[str]) -> cluster_pb2.Cluster:
    """The sidecar's processes, by their Unix sockets."""
    addresses = [address_pb2.Address(pipe=address_pb2.Pipe(path=path)) for path in sockets]
    return cluster_pb2.Cluster(
        name=SIDECAR,
        type=cluster_pb2.Cluster.STATIC,
        load_assignment=endpoint_pb2.ClusterLoadAssignment(cluster_name=SIDECAR, endpoints=[_locality(addresses)]),
        **_common(http2=True, requests=PLENTY),
    )


def _is_usable(endpoint: Address) -> bool:
    host, port = endpoint
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return 0 < port < 65536


def _at(host: str, port: int) -> address_pb2.Address:
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))


def _locality(addresses: Iterable[address_pb2.Address]) -> endpoint_components_pb2.LocalityLbEndpoints:
    endpoints = [
        endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=address))
        for address in addresses
    ]
    return endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=endpoints)


def _common(*, http2: bool, requests: int) -> dict[str, object]:
    """`requests` may be open at a time; the workers count together.

    There are connections for more than that: one more is refused, rather than kept until another has its answer.
    """
    limits = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=_number(2 * requests),
        max_pending_requests=_number(requests),
        max_requests=_number(requests),
        max_retries=_number(requests),
    )
    options = any_pb2.Any()
    options.Pack(_http2() if http2 else _http1())
    return {
        "connect_timeout": duration_pb2.Duration(seconds=2),
        "lb_policy": cluster_pb2.Cluster.LEAST_REQUEST,
        "circuit_breakers": circuit_breaker_pb2.CircuitBreakers(thresholds=[limits]),
        "per_connection_buffer_limit_bytes": _number(BUFFER_BYTES),
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
    }


def _http2() -> http_protocol_options_pb2.HttpProtocolOptions:
    http2 = protocol_pb2.Http2ProtocolOptions(
        initial_stream_window_size=_number(STREAM_WINDOW_BYTES),
        initial_connection_window_size=_number(CONNECTION_WINDOW_BYTES),
    )
    return http_protocol_options_pb2.HttpProtocolOptions(explicit_http_config={"http2_protocol_options": http2})


def _http1() -> http_protocol_options_pb2.HttpProtocolOptions:
    return http_protocol_options_pb2.HttpProtocolOptions(
        explicit_http_config={"http_protocol_options": {}},
        common_http_protocol_options={"idle_timeout": duration_pb2.Duration(seconds=HTTP_IDLE_S)},
    )


def _number(value: int) -> wrappers_pb2.UInt32Value:
    return wrappers_pb2.UInt32Value(value=value)
