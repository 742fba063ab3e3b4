"""Solve a planning problem: which workloads to move and which ATS to transfer, and when.

INSTANCE.npz holds the arrays of wattcast_coordinator.topology.instance.Instance. The plan is
JSON: {"moves": [{"workload", "to", "start_s"}], "ats": [{"node", "source", "start_s"}]}.
If no plan brings every node within its limits in time, nothing is written and the reason is
told (exit 3).

Instead of an instance, --what-if and --maintenance ask about a room: the live one, a recording of
it, or a site file (exit 0: it would hold, or go; 3: it would not, or no-go, and why).

examples: wattcast plan room.npz --out plan.json --deadline-ms 1000
          wattcast plan --what-if "lose feed A" --coordinator http://127.0.0.1:7480
          wattcast plan --what-if "add 20 servers to rack 7" --site site.toml
          wattcast plan --maintenance "UPS-A 2026-12-01T02:00/06:00" --state room.json
"""

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattcast_tools import plan_study

if TYPE_CHECKING:
    from wattcast_coordinator.plan import Solution
    from wattcast_coordinator.topology.instance import Instance

_REFUSED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast plan``."""
    parser.add_argument("instance", type=Path, metavar="INSTANCE.npz", nargs="?")
    parser.add_argument("--out", type=Path, metavar="PLAN.json", help="write the plan here")
    parser.add_argument(
        "--deadline-ms", type=float, default=1000.0, help="search at most this long (1000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the search (default 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    plan_study.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Solve, print and write the plan; 0 = feasible, 3 = refused."""
    import numpy as np

    from wattcast_coordinator.plan import solve

    if plan_study.asked(args):
        return plan_study.run(args)
    instance = load_instance(args.instance)
    begin = time.perf_counter()
    solution = solve(
        instance,
        deadline=lambda: 1000 * (time.perf_counter() - begin) > args.deadline_ms,
        rng=np.random.default_rng(args.seed),
    )
    took_s = time.perf_counter() - begin
    if solution.feasible and args.out:
        _write(args.out, plan_json(solution))
    print(json.dumps(_report(solution, took_s)) if args.json else _table(solution, took_s))
    return 0 if solution.feasible else _REFUSED


def load_instance(path: Path) -> "Instance":
    """Read an instance file.

    Raises:
        ConfigError: it is absent, unreadable or incomplete.
    """
    import zipfile

    import numpy as np

    from wattcast_coordinator.plan.check import check_instance
    from wattcast_coordinator.topology.instance import from_arrays
    from wattcast_core.errors import ConfigError, DataError

    try:
        with np.load(path, allow_pickle=False) as arrays:
            instance = from_arrays(dict(arrays), str(path))
        check_instance(instance)
    except DataError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{path}: not a readable instance ({error}); expected an .npz of Instance arrays"
        ) from error
    return instance


def plan_json(solution: "Solution") -> dict[str, list[dict[str, Any]]]:
    """The plan in the exchange format."""
    return {
        "moves": [{"workload": w, "to": to, "start_s": at} for w, to, at in solution.moves],
        "ats": [{"node": node, "source": to, "start_s": at} for node, to, at in solution.ats],
    }


def _write(path: Path, plan: dict[str, Any]) -> None:
    from wattcast_core.errors import ConfigError

    try:
        path.write_text(json.dumps(plan, indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the plan: {error.strerror}") from error


def _report(solution: "Solution", took_s: float) -> dict[str, Any]:
    """What --json prints."""
    facts: dict[str, Any] = {
        "feasible": solution.feasible,
        "cost": round(solution.cost, 3),
        "makespan_s": round(solution.makespan_s, 3),
        "excess_before_w": round(solution.excess_before_w, 1),
        "excess_after_w": round(solution.excess_after_w, 1),
        "took_ms": round(took_s * 1000, 1),
        "why": solution.why,
        **plan_json(solution),
    }
    return facts if solution.feasible else {"refused": "; ".join(solution.why), **facts}


def _table(solution: "Solution", took_s: float) -> str:
    """What people read."""
    moves = [(at, f"move workload {w} to server {to}") for w, to, at in solution.moves]
    transfers = [
        (at, f"transfer ATS {node} to {'its alternative' if to else 'its parent'}")
        for node, to, at in solution.ats
    ]
    actions = zip([*moves, *transfers], solution.reasons, strict=True)
    title = "plan" if solution.feasible else "refused; the best effort would be"
    lines = [f"{title}: {len(solution.moves)} moves, {len(solution.ats)} transfers"]
    lines += [f"{at:9.1f} s  {text}: {reason}" for (at, text), reason in sorted(actions)]
    lines += [f"  {line}" for line in solution.why]
    lines.append(
        f"excess {solution.excess_before_w:.0f} W -> {solution.excess_after_w:.0f} W,"
        f" cost {solution.cost:.2f}, done after {solution.makespan_s:.0f} s,"
        f" found in {took_s * 1000:.0f} ms"
    )
    return "\n".join(lines)
