"""Routes: a namespace's index says which service is meant, a service's own table says where it goes.

So that a change of one service is one small table, and no list grows with the number of services.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from google.protobuf import any_pb2, duration_pb2, struct_pb2, wrappers_pb2
from google.protobuf.message import Message
from xds.type.matcher.v3 import matcher_pb2

from primitives.rules.access import Restriction

from . import descriptors, rules
from .clusters import SIDECAR, name
from .state import DEFAULT_NAMESPACE, Service

LUA = "envoy.filters.http.lua"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
SCOPE_HEADER = "x-micro-scope"
RULE_HEADER = "x-micro-rule"
SERVICE_HEADER = "x-micro-service"
FULL_NAME_HEADER = "x-micro-full"
TOKEN_HEADER = "x-micro-token"  # noqa: S105 - a header's name
INTERNAL_HEADERS = (SCOPE_HEADER, RULE_HEADER, SERVICE_HEADER, FULL_NAME_HEADER, TOKEN_HEADER)
HOSTS = "@hosts"
IDLE_S = 3600
MOST_NAMED = 5  # services that a refusal names
NEVER_S = 0  # event consumers and followed logs may be silent for days


def scope(key: str, table: str) -> scoped_route_pb2.ScopedRouteConfiguration:
    """Requests whose scope header says `key` are routed by `table`."""
    fragment = scoped_route_pb2.ScopedRouteConfiguration.Key.Fragment(string_key=key)
    return scoped_route_pb2.ScopedRouteConfiguration(
        name=key,
        route_configuration_name=table,
        key=scoped_route_pb2.ScopedRouteConfiguration.Key(fragments=[fragment]),
    )


def own_host(service: Service, base_domain: str) -> str:
    """The host that is this service's alone; "" for a service whose name cannot be in a host."""
    return "" if "." in service.name or "_" in service.name else f"{service.name}--{service.namespace}.{base_domain}"


def hosts_table(domains: Mapping[str, str]) -> route_pb2.RouteConfiguration:
    """Which namespace an own domain belongs to."""
    hosts = [_host(domain, {"namespace": namespace}) for domain, namespace in sorted(domains.items())]
    return _table("hosts", hosts)


def _host(domain: str, context: dict[str, str]) -> route_components_pb2.VirtualHost:
    per_route = lua_pb2.LuaPerRoute(filter_context=_struct(context))
    return route_components_pb2.VirtualHost(
        name=domain, domains=[domain], routes=[_nowhere({})], typed_per_filter_config={LUA: _packed(per_route)}
    )


def index_table(namespace: str, services: Iterable[Service]) -> route_pb2.RouteConfiguration:
    """Which service a request of this namespace means: by Micro's path table, by its name, by a proto full name."""
    known = {"namespace": namespace}
    by_rule: dict[str, dict[str, Any]] = {}
    by_name: dict[str, dict[str, Any]] = {}
    offers: dict[str, list[Service]] = {}
    for service in services:
        about = known | _about(service)
        by_name[service.name] = about
        if service.protocol == "grpc":
            by_rule[service.name] = about
            for full_name in descriptors.service_names(service.descriptors):
                offers.setdefault(full_name, []).append(service)
    by_full_name = {full_name: known | _offered(full_name, who) for full_name, who in sorted(offers.items())}
    otherwise = matcher_pb2.Matcher.OnMatch(action=_action(_nowhere(known)))
    for header, entries in ((FULL_NAME_HEADER, by_full_name), (SERVICE_HEADER, by_name), (RULE_HEADER, by_rule)):
        if entries:
            otherwise = matcher_pb2.Matcher.OnMatch(matcher=_by_header(header, entries, otherwise))
    host = route_components_pb2.VirtualHost(name="*", domains=["*"])
    if otherwise.HasField("matcher"):
        host.matcher.CopyFrom(otherwise.matcher)
    else:
        host.routes.append(_nowhere(known))
    return _table(f"index/{namespace}", [host])


def _about(service: Service) -> dict[str, Any]:
    about: dict[str, Any] = {"service": service.name, "protocol": service.protocol}
    if service.protocol == "grpc" and not descriptors.service_names(service.descriptors):
        about["frames"] = True
    if descriptors.read(service.descriptors).binds_verbs:
        about["verbs"] = True
    if service.protocol == "grpc" and service.origins:
        about["origins"] = ",".join(service.origins)
    return about


def _offered(full_name: str, services: list[Service]) -> dict[str, Any]:
    if len(services) == 1:
        return _about(services[0])
    first = sorted(service.name for service in services)[:MOST_NAMED]
    names = " and ".join([*first, *([f"{more} more"] if (more := len(services) - len(first)) else [])])
    return {"conflict": f"{full_name} is offered by {names}: call it by one of these service names."}


def _by_header(
    header: str, entries: Mapping[str, dict[str, Any]], otherwise: matcher_pb2.Matcher.OnMatch
) -> matcher_pb2.Matcher:
    found = {
        value: matcher_pb2.Matcher.OnMatch(action=_action(_nowhere(about))) for value, about in sorted(entries.items())
    }
    tree = matcher_pb2.Matcher.MatcherTree(
        input={
            "name": header,
            "typed_config": _packed(http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=header)),
        },
        exact_match_map=matcher_pb2.Matcher.MatcherTree.MatchMap(map=found),
    )
    return matcher_pb2.Matcher(matcher_tree=tree, on_no_match=otherwise)


def _action(route: route_components_pb2.Route) -> Any:
    return {"name": "route", "typed_config": _packed(route)}


def service_table(service: Service, base_domain: str, access: Restriction = None) -> route_pb2.RouteConfiguration:
    """A service's routes, by host and by path. `access` says who may call it; None lets everybody."""
    table = f"service/{service.namespace}/{service.name}"
    if service.protocol == "http":
        return _table(table, _http_hosts(service, base_domain, access))
    filters = rules.filters(access, namespace=service.namespace, service=service.name)
    return _grpc_table(table, service, cluster=name(service), idle_s=IDLE_S, filters=filters)


def platform_table(package: str, descriptor_set: bytes, access: Restriction = None) -> route_pb2.RouteConfiguration:
    """The routes of one of the platform's own services, which the sidecar answers for. Its rules are the platform's."""
    service = Service("", package, "grpc", (), descriptor_set)
    filters = rules.filters(access, namespace=DEFAULT_NAMESPACE, service=package)
    return _grpc_table(f"platform/{package}", service, cluster=SIDECAR, idle_s=NEVER_S, filters=filters)


def _grpc_table(
    table: str, service: Service, *, cluster: str, idle_s: int, filters: dict[str, any_pb2.Any]
) -> route_pb2.RouteConfiguration:
    metadata = _about(service)
    routes = [
        _to(
            cluster,
            metadata,
            idle_s,
            match={"prefix": f"/{called}/", "grpc": {}},
            rewrite={"prefix_rewrite": f"/{full_name}/"},
        )
        for full_name in descriptors.service_names(service.descriptors)
        if (called := f"{service.name}.{full_name.rpartition('.')[2]}") != full_name
    ]
    routes.append(_to(cluster, metadata, idle_s, match={"prefix": "/"}))
    host = route_components_pb2.VirtualHost(name="*", domains=["*"], routes=routes)
    return _table(table, [host], _transcoding(service) | filters)


def _transcoding(service: Service) -> dict[str, any_pb2.Any]:
    if not descriptors.service_names(service.descriptors):
        return {}
    return {TRANSCODER: _packed(descriptors.transcoder(service.name, service.descriptors))}


def _http_hosts(service: Service, base_domain: str, access: Restriction) -> list[route_components_pb2.VirtualHost]:
    """At its own host a plain HTTP service sees paths as they are; elsewhere it is mounted under its name."""
    prefix = f"/{service.name}"
    own, mounted = _about(service), _about(service) | {"prefix": prefix}
    cluster = name(service)
    forwarded = base_pb2.HeaderValueOption(
        header={"key": "x-forwarded-prefix", "value": prefix},
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    routes = [
        _to(cluster, mounted, IDLE_S, match={"path": prefix}, rewrite={"prefix_rewrite": "/"}),
        _to(cluster, mounted, IDLE_S, match={"prefix": f"{prefix}/"}, rewrite={"prefix_rewrite": "/"}),
    ]
    for route in routes:
        route.request_headers_to_add.append(forwarded)
    whose = {"namespace": service.namespace, "service": service.name}
    filters = rules.filters(access, **whose, prefix=prefix)
    hosts = [route_components_pb2.VirtualHost(name="*", domains=["*"], routes=routes, typed_per_filter_config=filters)]
    if host := own_host(service, base_domain):
        at_root = [_to(cluster, own, IDLE_S, match={"prefix": "/"})]
        filters = rules.filters(access, **whose, prefix="")
        hosts.append(
            route_components_pb2.VirtualHost(name=host, domains=[host], routes=at_root, typed_per_filter_config=filters)
        )
    return hosts


def _to(
    cluster: str, metadata: dict[str, Any], idle_s: int, *, match: dict[str, Any], rewrite: dict[str, Any] | None = None
) -> route_components_pb2.Route:
    """A route to a cluster: no limit in time, and a second try only for what no replica can have begun."""
    retry = route_components_pb2.RetryPolicy(
        retry_on="connect-failure,refused-stream,reset-before-request",
        num_retries=wrappers_pb2.UInt32Value(value=3),
        host_selection_retry_max_attempts=3,
        retry_back_off={"base_interval": duration_pb2.Duration(nanos=10_000_000)},
    )
    retry.retry_host_predicate.add(
        name="envoy.retry_host_predicates.previous_hosts"
    ).typed_config.type_url = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    action = route_components_pb2.RouteAction(
        cluster=cluster,
        timeout=duration_pb2.Duration(),
        idle_timeout=duration_pb2.Duration(seconds=idle_s),
        retry_policy=retry,
        **(rewrite or {}),
    )
    return route_components_pb2.Route(match=match, route=action, metadata=_metadata(metadata))


def _nowhere(metadata: dict[str, Any]) -> route_components_pb2.Route:
    """A route that only says something: the gateway's Lua reads its metadata and goes on to another table."""
    return route_components_pb2.Route(
        match={"prefix": "/"}, direct_response={"status": 404}, metadata=_metadata(metadata)
    )


def _metadata(values: dict[str, Any]) -> base_pb2.Metadata:
    return base_pb2.Metadata(filter_metadata={LUA: _struct(values)})


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(dict(values))
    return struct


def _table(
    table: str, hosts: Iterable[route_components_pb2.VirtualHost], filters: dict[str, any_pb2.Any] | None = None
) -> route_pb2.RouteConfiguration:
    return route_pb2.RouteConfiguration(
        name=table,
        virtual_hosts=hosts,
        ignore_port_in_host_matching=True,
        request_headers_to_remove=INTERNAL_HEADERS,
        validate_clusters=wrappers_pb2.BoolValue(value=False),
        typed_per_filter_config=filters or {},
    )


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed
