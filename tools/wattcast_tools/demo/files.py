"""The files an operator would write for the room: site, racks, coordinator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattcast_tools.demo import toml_text

Json = dict[str, Any]
CLUSTER = "wattcast-demo"
_LOOPBACK = "127.0.0.1"
_HOLD_UP_MS = 20.0  # of the power supplies behind the switches, by their data sheets
_TRANSFER_MS = 12.0
_STEP_S = 300.0
_POLL_REAL_S = 1.0


@dataclass(frozen=True)
class Around:
    """What stands around the room.

    Attributes:
        urls: where the users of a workload reach it.
        proxy: kind of the redirector.
        etcd: endpoint.
        ports: of gRPC and REST.
        control: False puts every feed into mode observe.
    """

    urls: Mapping[str, str]
    proxy: str
    etcd: str
    ports: tuple[int, int]
    control: bool = True


def write(folder: Path, room: Json, around: Around) -> None:
    """Write site.toml, coordinator.toml and one rack file each into ``folder``."""
    mode = "automatic" if around.control else "observe"
    _write(folder / "site.toml", site(room, around.urls, mode))
    _write(folder / "coordinator.toml", _coordinator(room, around))
    for rack in room["racks"]:
        _write(folder / f"rack-{rack}.toml", _rack(room, rack))


def _write(path: Path, table: Json) -> None:
    path.write_text(toml_text.dumps(table))


def site(room: Json, urls: Mapping[str, str], mode: str = "automatic") -> Json:
    """The site file as a table."""
    limits = ("limit_w", "limit_n1_w")
    return {
        "name": "demo",
        "feed": [{**_pick(f, "id", *limits), "mode": mode} for f in room["feeds"]],
        "pdu": [_pick(p, "id", "rack", "feed", *limits) for p in room["pdus"]],
        "ats": [
            _pick(a, "id", "rack", "source_a", "source_b", "rating_w", "preferred")
            for a in room["ats"]
        ],
        "server": [_server(s) for s in room["servers"]],
        "workload": [
            {
                **_pick(w, "id", "server", "application", "version", "os", "criticality"),
                **_pick(w, "movable", "cpu", "mem_gib", "state_gib"),
                "url": urls.get(w["id"], ""),
            }
            for w in room["workloads"]
        ],
    }


def _server(server: Json) -> Json:
    return {
        **_pick(server, "id", "rack", "idle_w", "full_w", "cpu", "mem_gib", "engine"),
        "cords": [c["pdu"] or c["ats"] for c in server["cords"]],
        "shares": [c["share"] for c in server["cords"]],
    }


def _coordinator(room: Json, around: Around) -> Json:
    grpc_port, rest_port = around.ports
    return {
        "id": "coordinator-1",
        "site": "site.toml",
        "state_dir": "coordinator",
        "listen": {
            "grpc": f"{_LOOPBACK}:{grpc_port}",
            "rest": f"{_LOOPBACK}:{rest_port}",
            "cluster": CLUSTER,
            "interface": _LOOPBACK,
        },
        "etcd": {"endpoints": [around.etcd]},
        "redirector": {"kind": around.proxy, "dir": "proxy"},
        "clock": room["clock"],
    }


def _rack(room: Json, rack: str) -> Json:
    here = [s for s in room["servers"] if s["rack"] == rack]
    application = {
        w["server"]: w for w in sorted(room["workloads"], key=lambda w: bool(w["movable"]))
    }
    return {
        "agent": {
            "id": f"agent-{rack}",
            "rack": rack,
            "site": "demo",
            "state_dir": f"agent-{rack}",
            "step_s": _STEP_S,
            "poll_real_s": _POLL_REAL_S,
            "cluster": CLUSTER,
            "interface": _LOOPBACK,
        },
        "clock": room["clock"],
        "device": [*_devices(room, rack), *(d for s in here for d in _cord_meters(s))],
        "ats": [_safety(a) for a in room["ats"] if a["rack"] == rack],
        "server": [
            {
                **_pick(s, "id", "node_exporter"),
                "cords": len(s["cords"]),
                **_pick(application[s["id"]], "application", "version", "os", "criticality"),
            }
            for s in here
        ],
    }


def _devices(room: Json, rack: str) -> list[Json]:
    place = ("host", "port", "unit")
    out = [
        {**_pick(p, "id", *place), "profile": "raritan_xerus_pdu"}
        for p in room["pdus"]
        if p["rack"] == rack
    ]
    for ats in (a for a in room["ats"] if a["rack"] == rack):
        out.append({**_pick(ats, "id", *place), "profile": "raritan_xerus_ts", "lab": True})
        out += [
            {
                "id": f"{ats['id']}-{side.lower()}",
                **_pick(meter, *place),
                "profile": "eastron_sdm630",
                "ats": ats["id"],
                "role": f"source_{side.lower()}",
            }
            for side, meter in ats["source_meters"].items()
        ]
    out += [
        {**_pick(s, "id", *place), "profile": "xy_md02"}
        for s in room["sensors"]
        if s["rack"] == rack
    ]
    return out


def _cord_meters(server: Json) -> list[Json]:
    return [
        {
            "id": f"{server['id']}-{'ab'[cord]}",
            **_pick(meter, "host", "port", "unit"),
            "profile": "eastron_sdm630",
            "server": server["id"],
            "cord": cord,
        }
        for cord, meter in enumerate(server["cords"])
    ]


def _safety(ats: Json) -> Json:
    return {
        **_pick(ats, "id", "rating_a", "return_s"),
        "hold_up_ms": _HOLD_UP_MS,
        "transfer_ms": _TRANSFER_MS,
    }


def modbus(room: Json) -> dict[str, str]:
    """Device -> its address, as the report gives it."""
    places = [*room["pdus"], *room["ats"], *room["sensors"]]
    found = {p["id"]: p for p in places}
    found |= {m["id"]: m for s in room["servers"] for m in _cord_meters(s)}
    return {
        name: f"modbus-tcp://{p['host']}:{p['port']}?device_id={p['unit']}"
        for name, p in found.items()
    }


def _pick(table: Json, *names: str) -> Json:
    return {name: table[name] for name in names}
