"""Success, time and cost of the planner on seeded problems that are known to have an answer.

Times are milliseconds of this thread's CPU from the problem's arrays to the schedule, warm, one
thread: ``first_ms`` to the first plan, ``total_ms`` with the search for a cheaper one that
``wattcast plan`` makes too, ``topology_ms`` the part of both that depends on the room alone and is
spent again only when its topology changes. ``gap`` is cost above the best known, which long
searches found (--best-known makes that file anew for the given classes and seeds).

examples: wattcast bench plan --json
          wattcast bench plan --class few tight1k --seeds 30 --check
          wattcast bench plan --class room --seeds 2 --best-known 60
"""

import argparse
import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattcast_tools.native_stdout import native_stdout_to_stderr

if TYPE_CHECKING:
    from wattcast_coordinator.plan import Solution
    from wattcast_coordinator.topology.instance import Instance

BEST_KNOWN = Path(__file__).with_name("plan_best_known.json")
_CLASSES = ("easy1k", "tight1k", "few", "big", "room")
_WATCHED = (
    "first_ms",
    "total_ms",
    "topology_ms",
    "gap",
    "cost",
    "moves",
    "transfers",
    "makespan_s",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast bench plan``."""
    parser.add_argument(
        "--class",
        "--classes",
        dest="classes",
        nargs="+",
        type=_class_names,
        default=[_CLASSES],
        metavar="CLASS",
        help=f"of problems: {', '.join(_CLASSES)} (all)",
    )
    parser.add_argument("--seeds", type=int, default=10, help="problems of each class (10)")
    parser.add_argument("--deadline-ms", type=float, default=1000.0, help="of each search (1000)")
    parser.add_argument(
        "--check", action="store_true", help="add all loads of the final state up again, unpruned"
    )
    parser.add_argument(
        "--best-known", type=float, metavar="SECONDS", help="search so long, and keep the costs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _class_names(word: str) -> tuple[str, ...]:
    """One class, or several with commas between."""
    names = tuple(word.split(","))
    for name in names:
        if name not in _CLASSES:
            raise argparse.ArgumentTypeError(f"{name}: no class; give {', '.join(_CLASSES)}")
    return names


def run(args: argparse.Namespace) -> int:
    """Solve all problems, print the results; 1 if a plan failed its check."""
    args.classes = [name for names in args.classes for name in names]
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with native_stdout_to_stderr():
        if args.best_known:
            return _keep_best(args)
        known = _known()
        _one(args, _CLASSES[0], 0, known)  # warms up
        results = {
            name: [_one(args, name, seed, known) for seed in range(args.seeds)]
            for name in args.classes
        }
    summary = {name: _summary(rows) for name, rows in results.items()}
    if args.json:
        print(json.dumps({"summary": summary, "results": results}))
    else:
        _print(summary)
    return 1 if any(facts["invalid"] for facts in summary.values()) else 0


def _one(
    args: argparse.Namespace, name: str, seed: int, known: dict[str, dict[str, float]]
) -> dict[str, Any]:
    from wattcast_coordinator.plan import solve
    from wattcast_coordinator.plan.network import trace_network
    from wattcast_tools.plan_cmd import Deadline

    instance = _instance(name, seed)
    marks = [time.process_time()]
    trace_network(instance)
    marks.append(time.process_time())
    solve(instance, patience=0, deadline=Deadline(args.deadline_ms / 1000))
    marks.append(time.process_time())
    solution = solve(instance, deadline=Deadline(args.deadline_ms / 1000))
    marks.append(time.process_time())
    topology_ms, first_ms, total_ms = (
        round(1000 * (end - begin), 1) for begin, end in pairwise(marks)
    )
    best = known.get(name, {}).get(str(seed))
    gap = 100 * (solution.cost / best - 1) if best and solution.feasible else None
    return {
        "seed": seed,
        "solved": solution.feasible,
        "valid": _within_limits(instance, solution) if args.check and solution.feasible else None,
        "first_ms": first_ms,
        "total_ms": total_ms,
        "topology_ms": topology_ms,
        "cost": round(solution.cost, 3),
        "gap": None if gap is None else round(gap, 2),
        "moves": len(solution.moves),
        "transfers": len(solution.ats),
        "makespan_s": round(solution.makespan_s, 1),
        "why": list(solution.why) if not solution.feasible else [],
    }


def _instance(name: str, seed: int) -> "Instance":
    import numpy as np

    from wattcast_tools.plan_rooms import CLASSES, make_instance

    return make_instance(CLASSES[name], np.random.default_rng(seed))


def _within_limits(instance: "Instance", solution: "Solution") -> bool:
    """Whether the final state keeps all limits from lead_s on, in all cases, and is in time."""
    import numpy as np

    from wattcast_coordinator.aggregate.loads import Loads

    placed, source = instance.wl_server.copy(), instance.ats_source.copy()
    for workload, server, _ in solution.moves:
        placed[workload] = server
    for node, side, _ in solution.ats:
        source[node] = side
    loads = Loads(instance)
    steps = np.arange(1, len(instance.growth) + 1) * instance.step_s
    over_w = loads.evaluate(placed, source) - loads.limits()[..., None]
    within = not (over_w[..., steps > instance.lead_s] > 1e-3).any()
    return within and solution.makespan_s <= instance.lead_s


def _keep_best(args: argparse.Namespace) -> int:
    """Search long and write the costs that are lower than those known."""
    from wattcast_coordinator.plan import solve
    from wattcast_tools.plan_cmd import Deadline

    known = _known()
    for name in args.classes:
        costs = known.setdefault(name, {})
        for seed in range(args.seeds):
            solution = solve(
                _instance(name, seed),
                deadline=Deadline(args.best_known),
                patience=300,
                polish_s=args.best_known / 3,
            )
            if solution.feasible and solution.cost < costs.get(str(seed), float("inf")) - 1e-4:
                costs[str(seed)] = round(solution.cost, 4)
            BEST_KNOWN.write_text(json.dumps(known, indent=1) + "\n")
    return 0


def _known() -> dict[str, dict[str, float]]:
    known: dict[str, dict[str, float]] = {}
    return json.loads(BEST_KNOWN.read_text()) if BEST_KNOWN.exists() else known


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    import numpy as np

    solved = [result for result in results if result["solved"]]
    facts: dict[str, Any] = {
        "problems": len(results),
        "solved": len(solved),
        "invalid": sum(result["valid"] is False for result in results),
    }
    for key in _WATCHED:
        rows = results if key.endswith("ms") else solved
        values = [result[key] for result in rows if result[key] is not None]
        for share in (50, 95, 100):
            name = f"{key}_{f'p{share}' if share < 100 else 'max'}"
            facts[name] = round(float(np.percentile(values, share)), 2) if values else None
    return facts


def _print(summary: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("p50 / p95 / max", *summary, title="the planner on seeded problems")
    for key in ("problems", "solved", "invalid"):
        table.add_row(key, *(str(facts[key]) for facts in summary.values()))
    for key in _WATCHED:
        ends = [
            [facts[f"{key}_{end}"] for end in ("p50", "p95", "max")] for facts in summary.values()
        ]
        table.add_row(key, *(" / ".join("-" if v is None else str(v) for v in row) for row in ends))
    Console().print(table)
