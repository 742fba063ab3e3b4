"""Many devices, half of them faulty in every known way: do the others keep their beat?

Half of the devices answer late, wrongly, in halves, not at all, ...; the rest is true. Lateness is
taken at the healthy devices, by their own clock: from the beat to the request. A value counts as
wrong if it was given as good and is not what that device held at that time.

example: wattcast bench faults --devices 50 --duration 30 --json
"""

import argparse
import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_tools.faults.rig import Found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast bench faults``."""
    parser.add_argument("--devices", type=int, default=50, help="every second is faulty (50)")
    parser.add_argument("--duration", type=float, default=30.0, help="seconds (30)")
    parser.add_argument("--period", type=float, default=1.0, help="seconds between beats (1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Run the rig, print what was seen; 1 if a wrong value was given as good."""
    from wattcast_tools.faults import rig

    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    os.environ[rig.COMMUNITY_ENV] = "public"
    found = asyncio.run(rig.run(args.devices, args.duration, args.period))
    facts = summary(found)
    print(json.dumps(facts) if args.json else _table(facts))
    return 1 if facts["wrong_good"] else 0


def summary(found: "list[Found]") -> dict[str, Any]:
    """What the rig saw, as one document."""
    late = sorted(ms for one in found if not one.fault for ms in one.late_ms)
    return {
        "devices": len(found),
        "faulty": sum(bool(one.fault) for one in found),
        "lateness_ms": {
            "p50": round(late[round(0.50 * (len(late) - 1))], 1),
            "p99": round(late[round(0.99 * (len(late) - 1))], 1),
        },
        "healthy": _counts([one for one in found if not one.fault]),
        "wrong_good": sum(one.wrong for one in found),
        "faults": {
            f"{one.protocol} {one.fault}": {**_counts([one]), "problem": one.problem}
            for one in found
            if one.fault
        },
    }


def _counts(found: "list[Found]") -> dict[str, int]:
    return {"good": sum(one.good for one in found), "bad": sum(one.bad for one in found)}


def _table(facts: dict[str, Any]) -> str:
    lines = [f"{'fault':28} {'good':>5} {'bad':>5}  told"]
    for name, seen in facts["faults"].items():
        lines.append(f"{name:28} {seen['good']:5} {seen['bad']:5}  {seen['problem'][:60]}")
    lines.append(f"{'healthy devices':28} {facts['healthy']['good']:5} {facts['healthy']['bad']:5}")
    late = facts["lateness_ms"]
    lines.append(f"lateness of the healthy half: p50 {late['p50']} ms, p99 {late['p99']} ms")
    lines.append(f"wrong values given as good: {facts['wrong_good']}")
    return "\n".join(lines)
