"""What an operator knows of the room at commissioning: ``room.json``. Nothing of the future."""

from datetime import datetime
from typing import Any

from wattcast_tools.room.devices import ATS_UNIT, PDU_UNIT, SENSOR_UNIT, SOURCE_UNITS, Devices
from wattcast_tools.room.engine import Engine
from wattcast_tools.room.layout import VOLTAGE_V, Ats, Feed, Layout, Pdu, Server, Workload

_LOADS = (0.0, 0.1, 0.5, 1.0)


def describe(
    layout: Layout, devices: Devices, exporters: dict[str, str], engine: Engine | None
) -> dict[str, Any]:
    """The room's devices, servers and workloads with their addresses.

    Args:
        layout: what the room is built of.
        devices: started, so that their ports are known.
        exporters: server -> URL of its node_exporter.
        engine: None where no real workloads run.
    """
    return {
        "feeds": [_feed(f) for f in layout.feeds],
        "racks": list(layout.racks),
        "pdus": [_pdu(p, devices) for p in layout.pdus],
        "ats": [_switch(s, devices) for s in layout.switches],
        "servers": [_server(s, layout, devices, exporters, engine) for s in layout.servers],
        "workloads": [_workload(w, engine) for w in layout.workloads],
        "sensors": [
            {"id": f"sensor-{r}", "rack": r, **devices.place(f"sensor-{r}", SENSOR_UNIT)}
            for r in layout.racks
        ],
    }


def clock(start_real_s: float, history_s: float, history_speed: float, start: datetime,
          speed: float) -> dict[str, Any]:  # fmt: skip
    """The data clock: segments [real epoch s, data epoch s, data s a real s]."""
    story_real_s, story_data_s = start_real_s + history_s / history_speed, start.timestamp()
    return {
        "segments": [
            [start_real_s, story_data_s - history_s, history_speed],
            [story_real_s, story_data_s, speed],
        ]
    }


def _feed(feed: Feed) -> dict[str, Any]:
    return {
        "id": feed.id,
        "rating_w": feed.rating_w,
        "limit_w": feed.limit_w,
        "limit_n1_w": feed.limit_n1_w,
        "trip_curve": [list(step) for step in feed.curve.steps],
    }


def _pdu(pdu: Pdu, devices: Devices) -> dict[str, Any]:
    return {
        "id": pdu.id,
        "rack": pdu.rack,
        "feed": pdu.feed,
        "side": pdu.side,
        "rating_w": pdu.rating_w,
        "limit_w": pdu.limit_w,
        "limit_n1_w": pdu.limit_n1_w,
        "trip_curve": [list(step) for step in pdu.curve.steps],
        **devices.place(pdu.id, PDU_UNIT),
    }


def _switch(switch: Ats, devices: Devices) -> dict[str, Any]:
    source_a, source_b = switch.pdus
    return {
        "id": switch.id,
        "rack": switch.rack,
        "source_a": source_a,
        "source_b": source_b,
        "preferred": "A",
        "rating_w": switch.rating_w,
        "rating_a": switch.rating_w / VOLTAGE_V,
        "delay_real_s": switch.delay_real_s,
        "return_s": switch.return_s,
        **devices.place(switch.id, ATS_UNIT),
        "source_meters": {
            name: devices.place(switch.id, unit)
            for name, unit in zip("AB", SOURCE_UNITS, strict=True)
        },
    }


def _server(
    server: Server, layout: Layout, devices: Devices, exporters: dict[str, str],
    engine: Engine | None,
) -> dict[str, Any]:  # fmt: skip
    platform = server.platform
    return {
        "id": server.id,
        "rack": server.rack,
        "cords": [
            {**cord, **devices.place(*devices.cord_place(server, side))}
            for side, cord in enumerate(_cords(server, layout))
        ],
        "platform": platform.name,
        "idle_w": platform.idle_w,
        "full_w": platform.full_w,
        "curve": [list(point) for point in zip(_LOADS, platform.watts, strict=True)],
        "cpu": 1.0,
        "mem_gib": platform.mem_gib,
        "hosts": server.hosts,
        "node_exporter": exporters[server.id],
        "engine": engine.url(server.id) if engine and server.hosts else "",
    }


def _cords(server: Server, layout: Layout) -> list[dict[str, Any]]:
    if server.share_a is None:
        return [{"ats": f"ats-{server.rack}", "pdu": "", "feed": "", "share": 1.0}]
    feeds = {p.id: p.feed for p in layout.pdus}
    pdus = [f"pdu-{server.rack}-{side}" for side in "ab"]
    shares = (server.share_a, round(1.0 - server.share_a, 3))
    return [
        {"ats": "", "pdu": pdu, "feed": feeds[pdu], "share": share}
        for pdu, share in zip(pdus, shares, strict=True)
    ]


def _workload(workload: Workload, engine: Engine | None) -> dict[str, Any]:
    real = engine is not None and workload.movable
    return {
        "id": workload.id,
        "server": workload.server,
        "application": workload.application,
        "version": workload.version,
        "os": "debian-12",
        "criticality": workload.criticality,
        "movable": workload.movable,
        "cpu": workload.cpu_request,
        "mem_gib": workload.mem_gib,
        "state_gib": workload.state_gib,
        "url": engine.instance_url(workload.server, workload.id) if engine and real else "",
    }
