"""Look at a site as commissioned: what hangs where, and what each feed would carry.

Watts are nameplates at full use, intact and after the loss of each feed: the planning that
operators do today, and the reason why feeds stand half empty.

example: wattcast topology show site.toml
"""

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast topology`` and its actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="the power graph and its nameplate loads")
    show.add_argument("site", type=Path, help="site file (TOML)")
    show.add_argument("--json", action="store_true", help="print the loads as JSON")


def run(args: argparse.Namespace) -> int:
    """Show a site; ConfigError names what is wrong with its file."""
    import json

    from wattcast_configs.files import load_site

    site = load_site(args.site)
    loads = nameplate(site)
    if args.json:
        print(json.dumps(loads, indent=2))
        return 0
    _print(site, loads)
    return 0


def nameplate(site: Any) -> list[dict[str, Any]]:
    """Watts and limit of each node at full use of every server.

    One entry a node and case; an empty contingency is the intact room. A server that was never
    measured counts with its nameplate in the decision core, and here none has been.
    """
    from datetime import UTC, datetime

    from wattcast_configs.control import Decision
    from wattcast_coordinator.aggregate.loads import Loads
    from wattcast_coordinator.aggregate.problem import build
    from wattcast_coordinator.aggregate.standing import Standing
    from wattcast_coordinator.ports import Inputs
    from wattcast_coordinator.topology import graph as graphs

    graph = graphs.build(site)
    nothing = Inputs(datetime(2000, 1, 1, tzinfo=UTC), 1.0, {}, {}, {}, {}, {})
    sources = {a.id: "AB".index(a.preferred) for a in site.ats}
    room = build(graph, nothing, Decision(), Standing(ats=sources)).evidence
    loads = Loads(room)
    mean_w, limit_w = loads.moments()[0].max(2), loads.limits()
    cases = ["", *(graph.nodes[int(n)] for n in room.contingency)]
    return [
        {
            "node": node,
            "contingency": lost,
            "load_w": round(float(mean_w[case, i]), 1),
            "limit_w": round(float(limit_w[case, i]), 1),
        }
        for case, lost in enumerate(cases)
        for i, node in enumerate(graph.nodes)
        if node != lost
    ]


def _print(site: Any, loads: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    worst: dict[str, dict[str, Any]] = {}
    for entry in loads:
        known = worst.get(entry["node"])
        if entry["contingency"] and (not known or entry["load_w"] > known["load_w"]):
            worst[entry["node"]] = entry
    table = Table(title=f"{site.name}: nameplate loads", title_justify="left")
    for name in ("node", "hangs on", "full use", "limit", "after the worst loss", "limit then"):
        table.add_column(name)
    above = {p.id: p.feed for p in site.pdu}
    above |= {a.id: f"{a.source_a} or {a.source_b}" for a in site.ats}
    for entry in (e for e in loads if not e["contingency"]):
        after = worst.get(entry["node"], entry)
        table.add_row(
            entry["node"],
            above.get(entry["node"], "-"),
            _marked(entry),
            f"{entry['limit_w']:.0f} W",
            f"{_marked(after)} (without {after['contingency'] or '-'})",
            f"{after['limit_w']:.0f} W",
        )
    Console().print(table)


def _marked(entry: dict[str, Any]) -> str:
    text = f"{entry['load_w']:.0f} W"
    return f"[red]{text}[/red]" if entry["load_w"] > entry["limit_w"] else text
