"""The figures of a demonstration, each from who knows it: room, clients, coordinator."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from wattcast_tools.demo import files

Json = dict[str, Any]


def collect(
    room: Json, state: Json, before: Json, truths: Mapping[str, Json], clients: Json, bound: Json
) -> Json:
    """Put the report together.

    Args:
        room: the room's self-description.
        state: the coordinator's last state, of its REST API.
        before: its store counts when the history was over.
        truths: what the room itself saw, for ``live``, ``none`` and ``guard_band``.
        clients: what the verifying clients counted.
        bound: endpoints of the coordinator.
    """
    store, early = state["store"], before
    return {
        "endpoints": {
            **{k: v for k, v in bound.items() if k != "pid"},
            "modbus": files.modbus(room),
        },
        "agents": sorted(a["id"] for a in state["agents"]),
        "leader": state["leader"]["id"],
        "samples": store["samples"],
        "signatures": store["signatures"],
        "history_rows": early.get("signatures", 0),
        "forecasts": {k: store[k] - early.get(k, 0) for k in ("lstm", "naive")},
        "model": _model(),
        "store": {"engine": store["engine"], "rows": store["rows"]},
        "without_control": _figures(truths["none"]),
        "with_guard_band": _figures(truths["guard_band"]),
        "with_control": _figures(truths["live"]),
        "lead_time_s": lead_time_s(state, truths["none"], room),
        "ats_commands": [_command(c) for c in state["commands"]],
        "migrations": [_migration(m, clients) for m in state["migrations"]],
        "reaction_ms": {k: state["reaction_ms"][k] for k in ("p50", "p99")},
    }


def lead_time_s(state: Json, without: Json, room: Json) -> float | None:
    """Data seconds from the first forecast of the overload until it came without control.

    None if no risk was forecast, or if the uncontrolled room had no overload.
    """
    came_min = without["first_overload_minute"]
    first_at = [datetime.fromisoformat(r["first_at"]) for r in state["risks"]]
    if came_min is None or not first_at:
        return None
    start = datetime.fromisoformat(room["story"]["start"])
    warned_s = (min(first_at) - start).total_seconds()
    return round(60.0 * float(came_min) - warned_s, 1)


def _figures(truth: Json) -> Json:
    names = (
        "overload_minutes",
        "tripped",
        "peak_feed_pct",
        "n1_violation_minutes",
        "n1_violation_minutes_after_plan",
        "dark_servers",
        "moves",
        "transfers",
    )
    return {name: truth[name] for name in names}


def _command(command: Json) -> Json:
    return {
        "id": command["id"],
        "token": command["token"],
        "ats": command["ats"],
        "from": command["from_source"],
        "to": command["to_source"],
        "verified": command["verified"],
        "why": command["why"],
    }


def _migration(migration: Json, clients: Json) -> Json:
    seen = clients.get(migration["workload"], {})
    names = ("requests", "failed_requests", "acknowledged_writes", "lost_writes")
    return {
        "workload": migration["workload"],
        "from": migration["source"],
        "to": migration["target"],
        **{name: seen.get(name) for name in names},
        "duration_s": migration["duration_s"],
        "state": migration["state"],
    }


def _model() -> Json:
    from wattcast_agent.infer.litert import LiteRtModel
    from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL

    manifest = json.loads(Path(BASE_MANIFEST).read_text())
    digest = hashlib.sha256(Path(BASE_MODEL).read_bytes()).hexdigest()
    runtime = LiteRtModel(BASE_MODEL, BASE_MANIFEST).runtime
    return {"id": manifest["id"], "sha256": digest, "runtime": runtime}


def sentence(figures: Json) -> str:
    """What happened, in words."""
    with_control, moves = figures["with_control"], figures["migrations"]
    requests = sum(m["requests"] or 0 for m in moves)
    failed = sum(m["failed_requests"] or 0 for m in moves)
    lost = sum(m["lost_writes"] or 0 for m in moves)
    lead_s, p99 = figures["lead_time_s"], figures["reaction_ms"]["p99"]
    lead = f"{lead_s / 60:.0f} data minutes ahead" if lead_s else "never"
    verified = sum(c["verified"] for c in figures["ats_commands"])
    return (
        f"Overload forecast {lead}; {with_control['moves']} migrations"
        f" ({requests} requests, {failed} failed, {lost} acknowledged writes lost),"
        f" {verified} verified ATS transfers; reaction p99 {p99 or 0:.0f} ms."
    )
