"""Envoy's files: a bootstrap with one listener and cluster a workload, one endpoint file each.

What the settings are for (each was found by losing requests without it):

- ``update_merge_window`` 0: else new endpoints answer 503 for up to a second after the admin
  interface already calls them healthy.
- ``healthy_panic_threshold`` 0: never send requests to endpoints known to be down or draining.
- Retries on 503 at another host only: a released source answers 503, and the target gets the
  request again. Never on ``reset`` or ``5xx``, which would repeat writes.
- ``per_connection_buffer_limit_bytes``: a body must fit to be sent again.
- ``max_retries``: all held requests are retried at once; the default of 3 would fail the rest.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wattcast_coordinator.act.proxy_dir import replace_json, socket_path, split

_TYPE = "type.googleapis.com/envoy"
_BUFFER_BYTES = 4 << 20
_MOST = 65536
_HTTP = f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_RETRY: dict[str, Any] = {
    "retry_on": "connect-failure,refused-stream,reset-before-request,retriable-status-codes",
    "retriable_status_codes": [503],
    "num_retries": 8,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": f"{_TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": 5,
    "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.1s"},
}


def endpoint_file(folder: Path, workload: str) -> Path:
    """The file with a workload's endpoints."""
    return folder.absolute() / "endpoints" / f"{workload}.json"


def write_endpoints(folder: Path, workload: str, serving: Mapping[str, bool]) -> None:
    """Replace a workload's endpoints (address -> receives traffic)."""
    assignment = {
        "@type": f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": workload,
        "endpoints": [{"lb_endpoints": [_endpoint(a, on) for a, on in serving.items()]}],
    }
    replace_json(endpoint_file(folder, workload), {"resources": [assignment]})


def read_endpoints(folder: Path, workload: str) -> dict[str, bool]:
    """A workload's endpoints (address -> receives traffic); KeyError or ValueError if damaged."""
    resources = json.loads(endpoint_file(folder, workload).read_text())["resources"]
    found: dict[str, bool] = {}
    for endpoint in resources[0]["endpoints"][0]["lb_endpoints"]:
        place = endpoint["endpoint"]["address"]["socket_address"]
        found[f"{place['address']}:{place['port_value']}"] = endpoint["health_status"] == "HEALTHY"
    return found


def write_bootstrap(
    folder: Path, listeners: Mapping[str, tuple[str, int]], serving: Mapping[str, str]
) -> None:
    """Write everything Envoy needs; endpoint files that exist are kept, so a restart resumes.

    Args:
        folder: the proxy's folder; made if missing.
        listeners: workload -> host and port its users reach.
        serving: workload -> ``host:port`` of the instance that serves it first.
    """
    (folder / "endpoints").mkdir(parents=True, exist_ok=True)
    for workload in listeners:
        if not endpoint_file(folder, workload).exists():
            first = serving.get(workload)
            write_endpoints(folder, workload, {first: True} if first else {})
    replace_json(folder / "envoy.json", _bootstrap(folder, listeners))


def _endpoint(address: str, serving: bool) -> dict[str, Any]:  # noqa: FBT001 - a pair of the map
    return {
        "health_status": "HEALTHY" if serving else "DRAINING",
        "endpoint": {"address": _socket(*split(address))},
    }


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _bootstrap(folder: Path, listeners: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    return {
        "node": {"id": "wattcast", "cluster": "wattcast"},
        "admin": {"address": {"pipe": {"path": str(socket_path(folder)), "mode": 0o600}}},
        "static_resources": {
            "listeners": [_listener(name, *place) for name, place in listeners.items()],
            "clusters": list(_clusters(folder, listeners)),
        },
    }


def _listener(workload: str, host: str, port: int) -> dict[str, Any]:
    route = {"cluster": workload, "timeout": "30s", "retry_policy": _RETRY}
    hosts = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": route}],
    }
    manager = {
        "@type": _HTTP,
        "stat_prefix": workload,
        "generate_request_id": False,
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {"name": workload, "virtual_hosts": [hosts]},
    }
    name = "envoy.filters.network.http_connection_manager"
    return {
        "name": workload,
        "address": _socket(host, port),
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
    }


def _clusters(folder: Path, workloads: Iterable[str]) -> Iterable[dict[str, Any]]:
    for workload in workloads:
        source = {"path": str(endpoint_file(folder, workload))}
        config = {"resource_api_version": "V3", "path_config_source": source}
        yield {
            "name": workload,
            "type": "EDS",
            "connect_timeout": "1s",
            "lb_policy": "LEAST_REQUEST",
            "ignore_health_on_host_removal": True,
            "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
            "eds_cluster_config": {"service_name": workload, "eds_config": config},
            "common_lb_config": {
                "healthy_panic_threshold": {"value": 0},
                "update_merge_window": "0s",
            },
            "circuit_breakers": {
                "thresholds": [
                    {
                        "max_connections": _MOST,
                        "max_pending_requests": _MOST,
                        "max_requests": _MOST,
                        "max_retries": _MOST,
                    }
                ]
            },
            "health_checks": [
                {
                    "timeout": "1s",
                    "interval": "0.2s",
                    "no_traffic_interval": "0.2s",
                    "unhealthy_threshold": 5,
                    "healthy_threshold": 2,
                    "http_health_check": {"path": "/health"},
                }
            ],
        }
