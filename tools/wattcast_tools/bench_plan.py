"""Success and time of the planner on seeded problems that are known to have an answer.

Every plan is checked here again, from all loads of all cases, not by the planner's own
constraints. Times are of one thread's CPU, from forecasts in to schedule out, and of the first
plan and of the whole search up to the deadline.

example: wattcast bench plan --seeds 10 --servers 1000 --tight 0.01 --json
"""

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_coordinator.plan import Solution
    from wattcast_coordinator.topology.instance import Instance


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast bench plan``."""
    parser.add_argument("--seeds", type=int, default=10, help="problems to solve (default 10)")
    parser.add_argument("--servers", type=int, default=1000, help="default 1000")
    parser.add_argument("--feeds", type=int, default=8, help="three or more; default 8")
    parser.add_argument("--displaced", type=int, default=60, help="workloads put astray (60)")
    parser.add_argument("--tight", type=float, default=0.01, help="spare share of limits (0.01)")
    parser.add_argument("--deadline-ms", type=float, default=1000.0, help="of each search (1000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Solve all problems, print the results; 1 if a plan failed its check."""
    results = [_one(args, seed) for seed in range(args.seeds)]
    summary = _summary(results)
    if args.json:
        print(json.dumps({"summary": summary, "results": results}))
    else:
        print("\n".join(_line(result) for result in results))
        print("\n".join(f"{key:22} {value}" for key, value in summary.items()))
    return 1 if summary["invalid"] else 0


def _one(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    import numpy as np

    from wattcast_coordinator.plan import solve
    from wattcast_tools.plan_rooms import RoomSize, make_instance

    size = RoomSize(args.servers, args.feeds, args.displaced, args.tight)
    instance = make_instance(size, np.random.default_rng(seed))
    begin = time.process_time()
    first = solve(instance, patience=0)
    first_ms = 1000 * (time.process_time() - begin)
    begin = time.process_time()
    solution = solve(
        instance,
        deadline=lambda: 1000 * (time.process_time() - begin) > args.deadline_ms,
        rng=np.random.default_rng(seed),
    )
    return {
        "seed": seed,
        "solved": solution.feasible,
        "valid": _within_limits(instance, solution) if solution.feasible else None,
        "first_ms": round(first_ms, 1),
        "total_ms": round(1000 * (time.process_time() - begin), 1),
        "first_cost": round(first.cost, 3) if first.feasible else None,
        "cost": round(solution.cost, 3),
        "moves": len(solution.moves),
        "transfers": len(solution.ats),
        "makespan_s": round(solution.makespan_s, 1),
        "excess_before_w": round(solution.excess_before_w, 1),
        "why": list(solution.why) if not solution.feasible else [],
    }


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


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    import numpy as np

    solved = [result for result in results if result["solved"]]
    facts: dict[str, Any] = {
        "problems": len(results),
        "solved": len(solved),
        "invalid": sum(result["valid"] is False for result in results),
    }
    for key in ("first_ms", "total_ms", "cost", "moves", "transfers"):
        values = [result[key] for result in (results if key.endswith("ms") else solved)]
        for share in (50, 95):
            name = f"{key}_p{share}"
            facts[name] = round(float(np.percentile(values, share)), 2) if values else None
    return facts


def _line(result: dict[str, Any]) -> str:
    state = "solved" if result["solved"] else "refused"
    return (
        f"seed {result['seed']:4}  {state:8} {result['moves']:4} moves"
        f" {result['transfers']} transfers  cost {result['cost']:8.2f}"
        f"  first {result['first_ms']:6.0f} ms  all {result['total_ms']:6.0f} ms"
    )
