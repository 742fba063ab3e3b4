"""Solve a planning problem: which workloads to move and which ATS to transfer, and when.

INSTANCE.npz holds the arrays of wattcast_coordinator.topology.instance.Instance. The plan is
JSON: {"moves": [{"workload", "to", "start_s"}], "ats": [{"node", "source", "start_s"}]}.
It is written only if every state on the way was proved against every loss. If no plan brings
every node within its limits in time, the reason is told (exit 3) and PLAN.json does not exist
afterwards.

The search ends when --patience rounds in a row found nothing cheaper, at the latest with the
deadline; some 0.1 s are usual for 1000 servers. Patience 0 takes the first plan.

Instead of an instance, --what-if and --maintenance ask about a room: the live one, a recording of
it, or a site file (exit 0: it would hold, or go; 3: it would not, or no-go, and why).

examples: wattcast plan room.npz --out plan.json
          wattcast plan room.npz --deadline-ms 60000 --patience 300 --polish-s 20
          wattcast plan --what-if "lose feed A" --coordinator http://127.0.0.1:7480
          wattcast plan --what-if "add 20 servers to rack 7" --site site.toml
          wattcast plan --maintenance "UPS-A 2026-12-01T02:00/06:00" --state room.json
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattcast_tools import plan_study
from wattcast_tools.native_stdout import native_stdout_to_stderr

if TYPE_CHECKING:
    from wattcast_coordinator.plan import Solution
    from wattcast_coordinator.plan.explanation import Explanation
    from wattcast_coordinator.topology.instance import Instance

_REFUSED = 3
PATIENCE = 8  # rounds; the planner's own default, stated here so that help need not load it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast plan``."""
    parser.add_argument("instance", type=Path, metavar="INSTANCE.npz", nargs="?")
    parser.add_argument("--out", type=Path, metavar="PLAN.json", help="write the plan here")
    parser.add_argument(
        "--deadline-ms",
        type=float,
        default=1000.0,
        metavar="N",
        help="from instance loaded to plan written, at most (1000)",
    )
    parser.add_argument(
        "--patience",
        type=int,
        default=PATIENCE,
        metavar="ROUNDS",
        help=f"stop after so many rounds without a cheaper plan ({PATIENCE})",
    )
    parser.add_argument(
        "--polish-s",
        type=float,
        default=0.0,
        metavar="S",
        help="then search mixed-integer, up to so long a round (0 = not)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the search (default 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    plan_study.add_arguments(parser)


class Deadline:
    """Tells the search to stop while there is time left to schedule and prove what it found.

    That takes some two thirds of the time from the start to the first question, in which the
    problem is compiled and the first goal is found: both on the same machine, as busy as it is.
    Three quarters of it, and a twentieth of the limit, are kept.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s, self._begin_s = 0.95 * limit_s, time.perf_counter()
        self._first_s: float | None = None

    def __call__(self) -> bool:
        """Whether to stop now."""
        if self._first_s is None:
            self._first_s = self.elapsed_s()
        return self.elapsed_s() + 0.75 * self._first_s > self._limit_s

    def elapsed_s(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self._begin_s


def run(args: argparse.Namespace) -> int:
    """Solve, print and write the plan; 0 = feasible, 3 = refused."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # products are small; threads only start up
    import numpy as np

    from wattcast_coordinator.plan import explain, solve

    if plan_study.asked(args):
        return plan_study.run(args)
    instance = load_instance(args.instance)
    deadline = Deadline(args.deadline_ms / 1000)
    rng = np.random.default_rng(args.seed)
    with native_stdout_to_stderr():
        solution = solve(
            instance,
            deadline=deadline,
            rng=rng,
            patience=args.patience,
            polish_s=args.polish_s,
        )
    accepted = solution.feasible and not solution.standing
    if args.out:
        _put(args.out, plan_json(solution) if accepted else None)
    took_s = deadline.elapsed_s()
    explanation = explain(instance, solution)
    show = _report if args.json else _table
    print(show(solution, explanation, took_s))
    return 0 if accepted else _REFUSED


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


def _put(path: Path, plan: dict[str, Any] | None) -> None:
    """Write a plan; without one see to it that no old plan is taken for it."""
    from wattcast_core.errors import ConfigError

    try:
        if plan is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(json.dumps(plan, indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the plan: {error.strerror}") from error


def _refusal(solution: "Solution") -> str:
    """Why there is no plan; empty if there is one."""
    reasons = [f"before anything is done, {rule}" for rule in solution.standing]
    return "; ".join(reasons if solution.feasible else (*solution.why, *reasons))


def _report(solution: "Solution", explanation: "Explanation", took_s: float) -> str:
    """What --json prints."""
    from dataclasses import asdict

    refusal = _refusal(solution)
    facts: dict[str, Any] = {
        **({"refused": refusal} if refusal else {}),
        "feasible": not refusal,
        "cost": round(solution.cost, 3),
        "least_cost": round(solution.bound, 3),
        "makespan_s": round(solution.makespan_s, 3),
        "excess_before_w": round(solution.excess_before_w, 1),
        "excess_after_w": round(solution.excess_after_w, 1),
        "took_ms": round(took_s * 1000, 1),
        "why": solution.why,
        **plan_json(solution),
        "explanation": asdict(explanation),
    }
    return json.dumps(facts)


def _table(solution: "Solution", explanation: "Explanation", took_s: float) -> str:
    """What people read."""
    refusal = _refusal(solution)
    lines = [f"refused: {refusal}", "the best effort would be:"] if refusal else []
    lines += [explanation.sentence, explanation.why_now]
    actions = sorted(explanation.actions, key=lambda action: action.start_s)
    lines += [f"{action.start_s:9.1f} s  {action.sentence}" for action in actions]
    lines += [f"  {node.sentence}" for node in explanation.nodes]
    lines.append(
        f"cost {solution.cost:.2f}, done after {solution.makespan_s:.0f} s,"
        f" found in {took_s * 1000:.0f} ms"
    )
    return "\n".join(lines)
