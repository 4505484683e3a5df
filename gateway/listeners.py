"""The three front doors: limits, filters in their order, and how the gateway's own errors look."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import address_pb2, protocol_pb2, substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.http.cdn_loop.v3 import cdn_loop_pb2
from envoy.extensions.filters.http.grpc_json_transcoder.v3 import transcoder_pb2
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import metadata_pb2
from google.protobuf import any_pb2, duration_pb2, struct_pb2, wrappers_pb2
from google.protobuf.message import Message

from .certificates import NAME as CERTIFICATE
from .clusters import BUFFER_BYTES, CONNECTION_WINDOW_BYTES, OURS, STREAM_WINDOW_BYTES, ads
from .descriptors import LARGEST_MESSAGE_BYTES
from .routes import HOSTS, INTERNAL_HEADERS, LUA, SCOPE_HEADER, TOKEN_HEADER, TRANSCODER
from .rules import CALLED, JWT, RBAC, RESOURCE, SUBJECT
from .state import Address, Browsers, State

LUA_FOLDER = Path(__file__).parent / "envoy"
# What a client may not say about itself. x-forwarded-for, x-forwarded-proto and x-envoy-* are Envoy's own to clean.
UNTRUSTED_HEADERS = (
    *INTERNAL_HEADERS,
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-original-host",
    "x-original-path",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-script-name",
)
PLATFORM_PACKAGES = (
    "api", "auth", "broker", "client", "config", "debug", "events", "network", "registry", "router", "runtime",
    "signup", "store",
)  # fmt: skip
PathAction = hcm_pb2.HttpConnectionManager.PathWithEscapedSlashesAction
LOOP = "The request has come this way too often: a node hands requests on to the gateway, which sends them to it."
HOPS = 8  # how often one request may come through a door, by way of nodes that hand it on to a door
ERRORS = [status for status in HTTPStatus if status >= 400]


def listeners(state: State) -> list[listener_pb2.Listener]:
    """The API gateway, the identity proxy and the service network: the same routes behind each.

    The service network may have a second door, for containers. Their bridge may come after Envoy does, and come again.
    """
    browsers, programs = PathAction.Value("UNESCAPE_AND_REDIRECT"), PathAction.Value("REJECT_REQUEST")
    found = [
        _outer("api", state.doors.api, _manager(state, "api", slashes=browsers, streams=100), state),
        _outer("proxy", state.doors.proxy, _manager(state, "proxy", slashes=programs, streams=100), state),
        _listener("network", state.doors.network, _manager(state, "network", slashes=programs, streams=1000)),
    ]
    if state.doors.containers:
        manager = _manager(state, "network", slashes=programs, streams=1000)
        door = _listener("containers", state.doors.containers, manager)
        door.freebind.value = True
        found.append(door)
    return found


def _listener(name: str, address: Address, manager: hcm_pb2.HttpConnectionManager) -> listener_pb2.Listener:
    host, port = address
    network_filter = listener_components_pb2.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=_packed(manager)
    )
    return listener_pb2.Listener(
        name=name,
        address=address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port)),
        filter_chains=[listener_components_pb2.FilterChain(filters=[network_filter])],
        per_connection_buffer_limit_bytes=_number(BUFFER_BYTES),
    )


def _outer(name: str, address: Address, manager: hcm_pb2.HttpConnectionManager, state: State) -> listener_pb2.Listener:
    """A door to the world: with a certificate it speaks TLS, and without it with this machine alone."""
    listener = _listener(name, address, manager)
    if not state.doors.is_secure:
        return listener
    filters = listener.filter_chains[0].filters
    match = listener_components_pb2.FilterChainMatch
    secure = listener_components_pb2.FilterChain(
        filters=filters,
        filter_chain_match=match(transport_protocol="tls"),
        transport_socket={"name": "envoy.transport_sockets.tls", "typed_config": _packed(_tls())},
    )
    local = listener_components_pb2.FilterChain(
        filters=filters,
        filter_chain_match=match(transport_protocol="raw_buffer", source_type=match.SAME_IP_OR_LOOPBACK),
    )
    del listener.filter_chains[:]
    listener.filter_chains.extend([secure, local])
    inspector = listener_components_pb2.ListenerFilter(
        name="envoy.filters.listener.tls_inspector", typed_config=_packed(tls_inspector_pb2.TlsInspector())
    )
    listener.listener_filters.append(inspector)
    return listener


def _tls() -> tls_pb2.DownstreamTlsContext:
    certificate = secret_pb2.SdsSecretConfig(name=CERTIFICATE, sds_config=ads())
    return tls_pb2.DownstreamTlsContext(
        common_tls_context=tls_pb2.CommonTlsContext(
            alpn_protocols=["h2", "http/1.1"],
            tls_certificate_sds_secret_configs=[certificate],
            tls_params=common_pb2.TlsParameters(tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2),
        )
    )


def _manager(state: State, name: str, *, slashes: int, streams: int) -> hcm_pb2.HttpConnectionManager:
    return hcm_pb2.HttpConnectionManager(
        stat_prefix=name,
        scoped_routes=_scoped_routes(),
        http_filters=http_filters(state),
        local_reply_config=_error_documents(),
        early_header_mutation_extensions=[_untrusting()],
        upgrade_configs=[hcm_pb2.HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        use_remote_address=wrappers_pb2.BoolValue(value=True),
        internal_address_config=_nobody(),
        server_header_transformation=hcm_pb2.HttpConnectionManager.APPEND_IF_ABSENT,
        server_name="micro",
        generate_request_id=wrappers_pb2.BoolValue(value=False),
        normalize_path=wrappers_pb2.BoolValue(value=True),
        merge_slashes=True,
        path_with_escaped_slashes_action=slashes,
        max_request_headers_kb=_number(32),
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            idle_timeout=duration_pb2.Duration(seconds=3600),
            headers_with_underscores_action=protocol_pb2.HttpProtocolOptions.REJECT_REQUEST,
            max_headers_count=_number(100),
        ),
        http_protocol_options=_http1(),
        http2_protocol_options=protocol_pb2.Http2ProtocolOptions(
            max_concurrent_streams=_number(streams),
            # A bad path ends its own call, not all calls of the connection.
            override_stream_error_on_invalid_http_message=wrappers_pb2.BoolValue(value=True),
            initial_stream_window_size=_number(STREAM_WINDOW_BYTES),
            initial_connection_window_size=_number(CONNECTION_WINDOW_BYTES),
            connection_keepalive=protocol_pb2.KeepaliveSettings(
                interval=duration_pb2.Duration(seconds=60), timeout=duration_pb2.Duration(seconds=20)
            ),
        ),
        request_headers_timeout=duration_pb2.Duration(seconds=10),
        stream_idle_timeout=duration_pb2.Duration(seconds=300),
    )


def _http1() -> protocol_pb2.Http1ProtocolOptions:
    """Old clients are served, and those that offer to go over to HTTP/2 (Java's does at once) stay where they are."""
    return protocol_pb2.Http1ProtocolOptions(accept_http_10=True, ignore_http_11_upgrade=[{"exact": "h2c"}])


def _nobody() -> hcm_pb2.HttpConnectionManager.InternalAddressConfig:
    """No address is inside: nobody may send x-envoy-* headers, on loopback neither."""
    unused = address_pb2.CidrRange(address_prefix="255.255.255.255", prefix_len=_number(32))
    return hcm_pb2.HttpConnectionManager.InternalAddressConfig(cidr_ranges=[unused])


def _scoped_routes() -> hcm_pb2.ScopedRoutes:
    key = hcm_pb2.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder(
        header_value_extractor={"name": SCOPE_HEADER, "index": 0}
    )
    return hcm_pb2.ScopedRoutes(
        name="scopes",
        scope_key_builder=hcm_pb2.ScopedRoutes.ScopeKeyBuilder(fragments=[key]),
        rds_config_source=ads(),
        scoped_rds=hcm_pb2.ScopedRds(scoped_rds_config_source=ads()),
    )


def http_filters(state: State) -> list[hcm_pb2.HttpFilter]:
    """The filters in their order: was it here before, who is it, who is meant, in which tongue, may they, go."""
    source = lua_source(state.base_domain, state.version, state.browsers)
    return [
        _filter(
            "envoy.filters.http.cdn_loop", cdn_loop_pb2.CdnLoopConfig(cdn_id="micro", max_allowed_occurrences=HOPS)
        ),
        _filter("envoy.filters.http.grpc_web", grpc_web_pb2.GrpcWeb()),
        _filter("envoy.filters.http.lua.basic", lua_pb2.Lua(default_source_code={"inline_string": basic_lua_source()})),
        _filter(JWT, _token_check(state.jwks)),
        _filter(LUA, lua_pb2.Lua(default_source_code={"inline_string": source})),
        _filter(TRANSCODER, transcoder_pb2.GrpcJsonTranscoder(proto_descriptor_bin=b"")),
        _filter(RESOURCE, lua_pb2.Lua(source_codes={RESOURCE: {"inline_string": resource_lua_source()}})),
        _filter(RBAC, rbac_pb2.RBAC()),
        _filter("envoy.filters.http.router", router_pb2.Router(suppress_envoy_headers=True)),
    ]


def basic_lua_source() -> str:
    """The Lua that finds a token in Basic credentials."""
    return _lua_text("basic.lua")


def resource_lua_source() -> str:
    """The Lua that says what is called, in the words of rules."""
    return _lua_text("resource.lua")


def lua_source(base_domain: str, version: str, browsers: Browsers = Browsers()) -> str:  # noqa: B008 - frozen
    """The gateway's Lua with its settings in front."""
    answer = json.dumps(json.dumps({"version": version}))
    settings = (
        f"base = {json.dumps(base_domain.lower())}, version = {answer}, largest = {LARGEST_MESSAGE_BYTES}, "
        f"platform = {_lua_set(PLATFORM_PACKAGES)}, origins = {_lua_set(browsers.origins)}, "
        f"hosts = {_lua_set(browsers.hosts)}, dashboards = {_lua_set(browsers.dashboards)}"
    )
    return f"settings = {{ {settings} }}\n{_lua_text('browsers.lua')}{_lua_text('gateway.lua')}"


def _lua_set(members: Iterable[str]) -> str:
    return f"{{ {', '.join(f'[{json.dumps(member)}] = true' for member in members)} }}"


@cache
def _lua_text(name: str) -> str:
    return (LUA_FOLDER / name).read_text()


def _token_check(jwks: str) -> jwt_pb2.JwtAuthentication:
    """Every token is checked, none is required here: the Lua knows whether the one who is called wants to see one."""
    provider = jwt_pb2.JwtProvider(
        local_jwks={"inline_string": jwks},
        from_headers=[
            jwt_pb2.JwtHeader(name="authorization", value_prefix="Bearer "),
            jwt_pb2.JwtHeader(name=TOKEN_HEADER),
        ],
        forward=True,
        payload_in_metadata="claims",
        failed_status_in_metadata="failure",
        clock_skew_seconds=1,
        require_expiration=True,
        jwt_cache_config={"jwt_cache_size": 1000},
    )
    either = jwt_pb2.JwtRequirementOrList(
        requirements=[
            jwt_pb2.JwtRequirement(provider_name="micro"),
            jwt_pb2.JwtRequirement(allow_missing_or_failed={}),
        ]
    )
    rule = jwt_pb2.RequirementRule(match={"prefix": "/"}, requires=jwt_pb2.JwtRequirement(requires_any=either))
    return jwt_pb2.JwtAuthentication(providers={"micro": provider}, rules=[rule])


def _untrusting() -> Any:
    """Take away what a client may not say, and start every request in the scope that knows own domains."""
    mutations: list[dict[str, Any]] = [{"remove": header} for header in UNTRUSTED_HEADERS]
    scope = {"key": SCOPE_HEADER, "value": HOSTS}
    mutations.append({"append": {"header": scope, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}})
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": _packed(header_mutation_pb2.HeaderMutation(mutations=mutations)),
    }


def _error_documents() -> hcm_pb2.LocalReplyConfig:
    """Every error of the gateway's own is Micro's error document; for gRPC it is the status message.

    What rules refuse names what was called: 403 to an account, 401 to nobody. What limits refuse names the limit.
    """
    called, caller = f"%DYNAMIC_METADATA({':'.join(CALLED)})%", f"%DYNAMIC_METADATA({':'.join(SUBJECT)})%"
    refused = [_status_is(HTTPStatus.FORBIDDEN), _has(CALLED)]
    mappers = [
        _mapper([*refused, _has(SUBJECT)], HTTPStatus.FORBIDDEN, f"Forbidden call made to {called} by {caller}"),
        _mapper(refused, HTTPStatus.UNAUTHORIZED, f"Unauthorized call made to {called}"),
    ]
    crowded = f"%UPSTREAM_CLUSTER% has %METADATA(CLUSTER:{OURS}:requests)% requests open, as many as it may: try again."
    mappers += [
        _mapper(
            [_status_is(HTTPStatus.SERVICE_UNAVAILABLE), _has_overflown()], HTTPStatus.SERVICE_UNAVAILABLE, crowded
        ),
        _mapper([_status_is(HTTPStatus.BAD_GATEWAY), _has_hops()], HTTPStatus.LOOP_DETECTED, LOOP),
    ]
    return hcm_pb2.LocalReplyConfig(mappers=[*mappers, *(_mapper([_status_is(each)], each) for each in ERRORS)])


def _mapper(
    filters: list[accesslog_pb2.AccessLogFilter], status: HTTPStatus, detail: str = "%LOCAL_REPLY_BODY%"
) -> hcm_pb2.ResponseMapper:
    document = struct_pb2.Struct()
    document.update({"id": "gateway", "code": int(status), "detail": detail, "status": status.phrase})
    both = accesslog_pb2.AccessLogFilter(and_filter=accesslog_pb2.AndFilter(filters=filters))
    return hcm_pb2.ResponseMapper(
        filter=filters[0] if len(filters) == 1 else both,
        status_code=_number(int(status)),
        body_format_override=substitution_format_string_pb2.SubstitutionFormatString(json_format=document),
    )


def _status_is(status: HTTPStatus) -> accesslog_pb2.AccessLogFilter:
    comparison = accesslog_pb2.ComparisonFilter(
        op=accesslog_pb2.ComparisonFilter.EQ,
        value={"default_value": int(status), "runtime_key": "gateway.error_documents"},
    )
    return accesslog_pb2.AccessLogFilter(status_code_filter={"comparison": comparison})


def _has_overflown() -> accesslog_pb2.AccessLogFilter:
    """Whether the service had as many requests open as it may."""
    return accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=["UO"]))


def _has_hops() -> accesslog_pb2.AccessLogFilter:
    """Whether the request has come through a door HOPS times before."""
    more = {"name": "cdn-loop", "string_match": {"safe_regex": {"regex": f"(.*\\bmicro\\b){{{HOPS}}}.*"}}}
    return accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=more))


def _has(path: tuple[str, ...]) -> accesslog_pb2.AccessLogFilter:
    """Whether the request's metadata has a value at `path`."""
    matcher = metadata_pb2.MetadataMatcher(
        filter=path[0], path=[{"key": key} for key in path[1:]], value={"present_match": True}
    )
    unless_missing = wrappers_pb2.BoolValue(value=False)
    return accesslog_pb2.AccessLogFilter(
        metadata_filter=accesslog_pb2.MetadataFilter(matcher=matcher, match_if_key_not_found=unless_missing)
    )


def _filter(name: str, config: Message) -> hcm_pb2.HttpFilter:
    return hcm_pb2.HttpFilter(name=name, typed_config=_packed(config))


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed


def _number(value: int) -> wrappers_pb2.UInt32Value:
    return wrappers_pb2.UInt32Value(value=value)
