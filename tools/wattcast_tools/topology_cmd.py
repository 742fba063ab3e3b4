"""Look at a site as commissioned: what hangs where, what it bears, and what it would carry.

Loads are nameplates at full use, as the room is and after the worst single loss: the planning that
operators do today, and the reason why feeds stand half empty. Limits tell their sources.

examples: wattcast topology show site.toml
          wattcast topology check site.toml --json
          wattcast topology draw site.toml --out site.svg
          wattcast topology fit site.toml --cords cords.csv
"""

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_coordinator.risk.judgement import Judgement
    from wattcast_coordinator.topology.graph import Graph

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast topology`` and its actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, text in (
        ("show", "the power graph, its limits and its nameplate loads"),
        ("check", "what is doubtful about a site; exit code 1 if anything is"),
        ("draw", "a single-line diagram"),
        ("fit", "how servers split their power over their cords, from readings of all cords"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("site", type=Path, help="site file (TOML)")
        if name == "draw":
            action.add_argument("--out", type=Path, required=True, help="where to write the SVG")
        elif name == "fit":
            action.add_argument("--cords", type=Path, required=True, metavar="CSV",
                                help="columns server, cord_0_w, cord_1_w, ...")  # fmt: skip
        else:
            action.add_argument("--json", action="store_true", help="print one JSON document")
        action.set_defaults(action=name)


def run(args: argparse.Namespace) -> int:
    """Show, check or draw a site; ConfigError names what is wrong with its file."""
    from wattcast_configs.files import load_site
    from wattcast_coordinator.topology.graph import build

    graph = build(load_site(args.site))
    if args.action == "draw":
        from wattcast_tools.single_line import draw

        args.out.write_text(draw(graph))
        return 0
    if args.action == "fit":
        return _fit(graph, args.cords)
    if args.action == "check":
        return _check(graph, as_json=args.json)
    document = describe(graph)
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        _print(graph, document)
    return 0


def _check(graph: "Graph", *, as_json: bool) -> int:
    from wattcast_coordinator.topology.check import findings

    found = findings(graph)
    if as_json:
        listed = [dataclasses.asdict(f) for f in found]
        print(json.dumps({"site": graph.site.name, "findings": listed}, indent=2))
    else:
        for f in found:
            print(f"{f.place}: {f.text} [{f.kind}]")
        print(f"{graph.site.name}: {len(graph.nodes)} nodes, {len(graph.servers)} servers,"
              f" {len(found) or 'no'} doubts")  # fmt: skip
    return 1 if found else 0


def _fit(graph: "Graph", path: Path) -> int:
    """Print shares and their doubt as lines for the site file."""
    from wattcast_coordinator.topology.shares import LEAST_READINGS, fit_all

    readings = _read_cords(path)
    idle_w = dict(zip(graph.servers, graph.idle_w.tolist(), strict=True))
    found = fit_all({k: v for k, v in readings.items() if k in graph.server}, idle_w)
    for name, split in found.items():
        shares = ", ".join(f"{share:.3f}" for share in split.shares)
        print(f'# {name}: {split.readings} readings up to {split.highest_w:.0f} W'
              f'{", a supply rests" if split.spare else ""}')  # fmt: skip
        print(f"shares = [{shares}]\nshare_doubt = {split.doubt:.3f}")
    for name in sorted(set(readings) - set(found)):
        why = "fewer than" if name in graph.server else "not in the site file, or fewer than"
        print(f"# {name}: {why} {LEAST_READINGS} complete readings")
    return 0 if found else 1


def _read_cords(path: Path) -> Json:
    import csv

    import numpy as np

    from wattcast_core.errors import DataError

    rows: dict[str, list[list[float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                cords = [float(v or "nan") for k, v in row.items() if k.startswith("cord_")]
                rows.setdefault(row["server"], []).append(cords)
        return {name: np.array(table) for name, table in rows.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read as cord readings ({error}); give a CSV with the columns"
            " server, cord_0_w, cord_1_w, ..."
        ) from error


def judge_nameplates(graph: "Graph") -> "Judgement":
    """The room at full use of every server, with its switches on their preferred sources."""
    import numpy as np

    from wattcast_coordinator.risk.amperes import amperes, is_rated
    from wattcast_coordinator.risk.judgement import Judgement
    from wattcast_coordinator.risk.nminus import Limits, Moments, assess
    from wattcast_coordinator.topology.compiled import compile_room

    source = np.zeros(len(graph.nodes), np.int64)
    for ats in graph.site.ats:
        source[graph.node[ats.id]] = "AB".index(ats.preferred)
    room = compile_room(graph, (), source)
    servers = Moments(graph.full_w[:, None], np.zeros(len(graph.servers)), np.ones(1))
    limits = Limits(graph.limit_base_w, graph.limit_n1_w, 0.0, 0.0)
    single = assess(room.matrices, room.doubtful, servers, limits)
    amps = amperes(room, servers, (0.0, 0.0)) if is_rated(graph) else None
    return Judgement(room, servers, single, amps, frozenset())


def describe(graph: "Graph") -> Json:
    """Site, nodes with limits and loads, and doubts, as one JSON document."""
    from wattcast_coordinator.risk.reserve import bridges
    from wattcast_coordinator.topology.check import findings

    judged = judge_nameplates(graph)
    loads = nameplate(judged)
    base = {e["node"]: e for e in loads if not e["contingency"]}
    return {
        "site": graph.site.name,
        "servers": len(graph.servers),
        "nodes": [_node(graph, index, base) for index in range(len(graph.nodes))],
        "loads": loads,
        "bridges": [
            {k: _number(v) for k, v in dataclasses.asdict(b).items()} | {"holds": b.holds}
            for b in bridges(judged.room, judged.single)
        ],
        "findings": [dataclasses.asdict(f) for f in findings(graph)],
    }


def _node(graph: "Graph", index: int, base: dict[str, Json]) -> Json:
    limit, name = graph.limits[index], graph.nodes[index]
    return {
        "node": name,
        "kind": graph.words[index],
        "hangs_on": list(graph.site.nodes[index].sources),
        "limit_w": _number(limit.base_w),
        "limit_n1_w": _number(limit.n1_w),
        "limit_a": _number(limit.base_a),
        "limit_n1_a": _number(limit.n1_a),
        "emergency_s": _number(limit.emergency_s),
        "sources": list(limit.why),
        "load_w": base[name]["load_w"],
    }


def nameplate(judged: "Judgement") -> list[Json]:
    """Watts, amperes and limits at full use: every node as the room is, and what losses add to.

    An empty contingency is the room as it is. A server that was never measured counts with its
    nameplate in the decision core, and here none has been.
    """
    graph, single = judged.room.graph, judged.single
    matrices = single.matrices
    places = [(0, node, single.base.mean_w[node, 0]) for node in range(len(graph.nodes))]
    places += list(zip(matrices.case, matrices.node, single.rows.mean_w[:, 0], strict=True))
    amps = {}
    if judged.amps:
        found = zip(
            judged.amps.case,
            judged.amps.node,
            judged.amps.line_a[:, :, 0],
            judged.amps.neutral_a[:, 0],
            strict=True,
        )
        amps = {(int(c), int(n)): (line, neutral) for c, n, line, neutral in found}
    return [_load(graph, judged, (int(c), int(n)), float(w), amps) for c, n, w in places]


def _load(
    graph: "Graph", judged: "Judgement", place: tuple[int, int], watts: float, amps: dict[Any, Any]
) -> Json:
    case, node = place
    limits = judged.single.limits
    out: Json = {
        "node": graph.nodes[node],
        "contingency": judged.room.contingencies[case - 1].id if case else "",
        "load_w": round(watts, 1),
        "limit_w": _number(float((limits.n1_w if case else limits.base_w)[node])),
    }
    if place in amps:
        line, neutral = amps[place]
        out["line_a"] = [round(float(a), 2) for a in line]
        out["neutral_a"] = round(float(neutral), 2)
    return out


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1) if math.isfinite(value) else None
    return value


def _print(graph: "Graph", document: Json) -> None:
    from rich.console import Console
    from rich.table import Table

    worst: dict[str, Json] = {}
    for entry in document["loads"]:
        known = worst.get(entry["node"])
        if entry["contingency"] and (not known or entry["load_w"] > known["load_w"]):
            worst[entry["node"]] = entry
    base = {e["node"]: e for e in document["loads"] if not e["contingency"]}
    table = Table(title=f"{graph.site.name}: nameplate loads", title_justify="left")
    for name in ("node", "hangs on", "full use", "limit", "after the worst loss", "limit then"):
        table.add_column(name, overflow="fold")
    table.add_column("limit from", overflow="fold", max_width=40)
    for node in document["nodes"]:
        entry = base[node["node"]]
        after = worst.get(node["node"], entry)
        loss = f" (without {after['contingency']})" if after["contingency"] else ""
        table.add_row(
            node["node"],
            " or ".join(node["hangs_on"]) or "-",
            _marked(entry),
            _limit(node["limit_w"], node["limit_a"]),
            f"{_marked(after)}{loss}",
            _limit(node["limit_n1_w"], node["limit_n1_a"]),
            "; ".join(node["sources"][:2]),
        )
    console = Console()
    console.print(table)
    for bridge in document["bridges"]:
        console.print(_bridge(bridge))
    for finding in document["findings"]:
        console.print(f"{finding['place']}: {finding['text']}", markup=False)


def _bridge(bridge: Json) -> str:
    known = bridge["battery_s"]
    lasts = "has a battery of unknown time" if known is None else f"bridges {known:.0f} s"
    if not bridge["generator"]:
        return f"loss of {bridge['contingency']}: {bridge['ups']} {lasts}, then its load is dark"
    verdict = "enough" if bridge["holds"] else "NOT enough"
    text = (
        f"loss of {bridge['contingency']}: {bridge['ups']} {lasts} until {bridge['generator']}"
        f" carries after {bridge['needed_s']:.0f} s: {verdict}"
    )
    limit_w = bridge["step_limit_w"]
    if limit_w is not None and bridge["step_w"] > limit_w:
        text += f"; it takes {bridge['step_w']:.0f} W in one step and bears {limit_w:.0f} W"
    return text


def _limit(watts: float | None, amps: float | None) -> str:
    parts = [] if watts is None else [f"{watts:.0f} W"]
    return ", ".join([*parts, *([] if amps is None else [f"{amps:g} A"])]) or "-"


def _marked(entry: Json) -> str:
    text = f"{entry['load_w']:.0f} W"
    if "line_a" in entry:
        text += f", {max(entry['line_a']):.1f} A"
    over = entry["limit_w"] is not None and entry["load_w"] > entry["limit_w"]
    return f"[red]{text}[/red]" if over else text
