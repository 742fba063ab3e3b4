"""What heeding price and carbon saves against operation blind to them, and the moves it costs.

A site of 24 servers has two utility meters in one zone: two feeds at the zone's recorded hourly
price, two at a fixed one (the mean of the four weeks before). Limits are kept after the loss of any
feed. Compared with doing nothing about prices: deferrable work waits for cheap hours of its window
(when); workloads move between the meters where that pays (where); both; and both without published
prices, when only the past is known and yesterday's hours stand in. The decisions are the live
system's own. Money is US dollars; the peak hour of four weeks is charged for. Carbon counts with
--data only: the excerpt that ships has prices alone.

examples: wattcast bench price --json
          wattcast bench price --data DIR --weeks 52
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_tools.price.market import Market
    from wattcast_tools.price.operate import Bill, Terms

Json = dict[str, Any]
BLIND, BOTH = "blind", "when and where"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast bench price``."""
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="folder of the whole recording, 2021 to 2023")
    add("--weeks", type=int, help="operate so many weeks, the last ones (default: all)")
    add("--seeds", type=int, default=3, help="rooms, each with work of its own (default 3)")
    add("--first-seed", type=int, default=1, help="the first one (default 1)")
    add("--carbon-price", type=float, default=85.0, help="dollars a tonne (default 85)")
    add("--demand-charge", type=float, default=10.0, help="dollars a kW in four weeks (10)")
    add("--disruption", type=float, default=0.02, help="dollars that a move of cost 1 must save"
        " twice (default 0.02; the site file's criticality 1 to 3 costs 1 to 4)")  # fmt: skip
    add("--jobs", type=int, default=2, help="processes (default 2)")
    add("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Operate every zone every way."""
    import json
    import sys

    from wattcast_core.errors import ConfigError
    from wattcast_tools.price import market as markets
    from wattcast_tools.price.operate import Terms

    least = min(args.jobs, args.seeds, 1 if args.weeks is None else args.weeks)
    if least < 1 or not args.disruption > 0:
        raise ConfigError("--jobs, --seeds and --weeks: at least 1; --disruption: above 0")
    zones = markets.read(args.data) if args.data else markets.shipped()
    terms = Terms(args.carbon_price, args.demand_charge, args.disruption)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    calls = [(_recent(zone, args.weeks), terms, seed) for zone in zones for seed in seeds]
    rooms = []
    for room in _each(one_room, calls, args.jobs):
        saved = f"{room['saved_pct'][BOTH]} % saved"
        print(f"{room['zone']}, seed {room['seed']}: {saved}", file=sys.stderr, flush=True)
        rooms.append(room)
    results = [_zone([r for r in rooms if r["zone"] == zone.zone]) for zone in zones]
    answer: Json = {"terms": vars_of(terms), "median": _median(results), "zones": results}
    print(json.dumps(answer, indent=1)) if args.json else _table(answer)
    return 0


def _each(work: Callable[..., Json], calls: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Json]:
    """Results in order; with one job in this process."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    if jobs == 1:
        yield from (work(*call) for call in calls)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from pool.map(work, *zip(*calls, strict=True))


def one_room(market: "Market", terms: "Terms", seed: int) -> Json:
    """All ways of operation of a room in one zone."""
    from wattcast_tools.price.operate import CONTRACT_HOURS, Way, compare
    from wattcast_tools.price.site import build

    ways = (
        (BLIND, Way()),
        ("when", Way(when=True)),
        ("where", Way(where=True)),
        (BOTH, Way(when=True, where=True)),
        ("both, prices not published", Way(when=True, where=True, published=False)),
    )
    bills = compare(build(seed), market, terms, ways)
    blind, both = bills[BLIND], bills[BOTH]
    weeks = (len(market.price_per_kwh) - CONTRACT_HOURS) / 168
    cleaner = 1 - both.carbon_kg / blind.carbon_kg if blind.carbon_kg else None
    return {
        "zone": market.zone,
        "seed": seed,
        "weeks": round(weeks, 1),
        "bills": {name: _facts(bill) for name, bill in bills.items()},
        "saved_pct": {
            name: round(100 * (1 - bill.total / blind.total), 2)
            for name, bill in bills.items()
            if name != BLIND
        },
        "carbon_saved_pct": None if cleaner is None else round(100 * cleaner, 2),
        "moves_a_week": round(both.moves / weeks, 2),
    }


def vars_of(terms: "Terms") -> Json:
    """The terms as JSON."""
    from dataclasses import asdict

    return asdict(terms)


def _recent(market: "Market", weeks: int | None) -> "Market":
    from dataclasses import replace

    from wattcast_core.errors import ConfigError
    from wattcast_tools.price.operate import CONTRACT_HOURS

    hours = len(market.price_per_kwh) // 24 * 24
    wanted = hours if weeks is None else CONTRACT_HOURS + 168 * weeks
    if wanted > hours:
        most = (hours - CONTRACT_HOURS) // 168
        raise ConfigError(f"--weeks {weeks}: the recording of {market.zone} has {most}")
    part = slice(hours - wanted, hours)
    return replace(
        market,
        start_s=market.start_s + 3600 * part.start,
        price_per_kwh=market.price_per_kwh[part],
        carbon_g=market.carbon_g[part],
    )


def _facts(bill: "Bill") -> Json:
    from dataclasses import asdict

    return {k: round(v, 2) for k, v in asdict(bill).items()} | {"total": round(bill.total, 2)}


def _zone(rooms: list[Json]) -> Json:
    """Medians over the rooms of one zone."""
    facts = {"zone": rooms[0]["zone"], "weeks": rooms[0]["weeks"], **_median(rooms)}
    blind = median(room["bills"][BLIND]["total"] for room in rooms)
    return {**facts, "blind_total": round(blind, 2), "rooms": rooms}


def _median(results: list[Json]) -> Json:
    names = results[0]["saved_pct"]
    cleaner = [r["carbon_saved_pct"] for r in results if r["carbon_saved_pct"] is not None]
    return {
        "saved_pct": {n: round(median(r["saved_pct"][n] for r in results), 2) for n in names},
        "carbon_saved_pct": round(median(cleaner), 2) if cleaner else None,
        "moves_a_week": round(median(r["moves_a_week"] for r in results), 2),
    }


def _table(answer: Json) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    ways = list(answer["median"]["saved_pct"])
    title = "money and carbon saved against blind operation, %"
    zone = Column("zone", no_wrap=True)
    table = Table(zone, "blind, $", *ways, "carbon", "moves a week", title=title)
    for facts in (*answer["zones"], {"zone": "median", **answer["median"]}):
        saved = [f"{facts['saved_pct'][way]:g}" for way in ways]
        blind = f"{facts['blind_total']:.0f}" if "blind_total" in facts else ""
        cleaner = facts["carbon_saved_pct"]
        carbon = "" if cleaner is None else f"{cleaner:g}"
        table.add_row(facts["zone"], blind, *saved, carbon, f"{facts['moves_a_week']:g}")
    Console().print(table)
