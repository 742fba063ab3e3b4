"""Many seeded days, each lived through without control, with a guard band, and with Wattcast.

The guard band is the honest rival: a reactive rule that knows the feed map and the N-1 arithmetic
and acts 5 % below a limit, on present readings. Wattcast runs the live system's own forecaster and
decision core. Meters are quantised, stick and drop out; the room's own truth is what is compared.
A day is won by fewer overload minutes, then fewer N-1 insecure minutes (differences below half a
minute count as equal), then fewer interruptions (migrations and transfers).

example: wattcast bench story --seeds 30 --json
"""

import argparse
from typing import Any

Json = dict[str, Any]
_TIE_MIN = 0.5
_POLICIES = ("no_control", "guard_band", "wattcast")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast bench story``."""
    parser.add_argument("--seeds", type=int, default=30, help="how many days (default 30)")
    parser.add_argument("--first-seed", type=int, default=1, help="the first one (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Run all seeds; none is dropped."""
    import json
    import sys
    from concurrent.futures import ProcessPoolExecutor

    seeds = range(args.first_seed, args.first_seed + args.seeds)
    days = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for day in pool.map(one_day, seeds):
            days.append(day)
            print(_line(day), file=sys.stderr, flush=True)
    result: Json = {"seeds": len(days), "totals": totals(days), "days": days}
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        _table(result["totals"])
    return 0


def one_day(seed: int) -> Json:
    """One seed under all three policies."""
    from wattcast_agent.infer.litert import LiteRtModel
    from wattcast_configs.models import BASE_MANIFEST, BASE_MODEL
    from wattcast_tools.room.scenario import build
    from wattcast_tools.room.story import Story, run_policy
    from wattcast_tools.room.traces import load_platforms
    from wattcast_tools.story_loop import Loop

    scenario = build(seed, load_platforms())
    free = Story(scenario)
    free.advance(scenario.duration_s)
    model = LiteRtModel(BASE_MODEL, BASE_MANIFEST)
    loop = Loop(scenario, model.predict, model.id, model.learned)
    loop.run()
    onset_s = _onset_s(free)
    day: Json = {
        "seed": seed,
        "no_control": free.truth(),
        "guard_band": run_policy(scenario, "guard_band"),
        "wattcast": loop.story.truth(),
        "onset_s": onset_s,
        "first_alarm_s": loop.first_alarm_s,
        "forecasts": dict(loop.kinds),
    }
    late = onset_s is not None and (loop.first_alarm_s is None or loop.first_alarm_s > onset_s)
    # Every day ends with a lost feed; alarms after it are about the state it left behind.
    lost_s = min((e.at_s for e in scenario.events), default=scenario.duration_s)
    alarm = loop.first_alarm_s is not None and loop.first_alarm_s < lost_s
    return day | {
        "missed_onset": late,
        "false_alarm": alarm and onset_s is None,
        "against_guard_band": compare(day["wattcast"], day["guard_band"]),
    }


def _onset_s(free: Any) -> float | None:
    """When the uncontrolled room first was overloaded or insecure; None on a day that was fine."""
    truth = free.world.truth
    times = [at_s for at_s, _ in truth.violations if at_s >= 0]
    if truth.first_overload_s is not None:
        times.append(truth.first_overload_s)
    return min(times, default=None)


def compare(ours: Json, theirs: Json) -> str:
    """``win``, ``tie`` or ``loss`` of ours."""
    for key in ("overload_minutes", "n1_violation_minutes"):
        if abs(ours[key] - theirs[key]) >= _TIE_MIN:
            return "win" if ours[key] < theirs[key] else "loss"
    counts = [t["moves"] + t["transfers"] for t in (ours, theirs)]
    if counts[0] == counts[1]:
        return "tie"
    return "win" if counts[0] < counts[1] else "loss"


def totals(days: list[Json]) -> Json:
    """Sums over all days."""
    keys = ("overload_minutes", "n1_violation_minutes", "n1_violation_minutes_after_plan")
    counts = ("dark_servers", "moves", "transfers")
    out: Json = {
        policy: {k: round(sum(d[policy][k] for d in days), 1) for k in keys}
        | {k: sum(d[policy][k] for d in days) for k in counts}
        | {"days_with_a_trip": sum(bool(d[policy]["tripped"]) for d in days)}
        | {"days_with_overload": sum(d[policy]["overload_minutes"] > 0 for d in days)}
        for policy in _POLICIES
    }
    for name in ("win", "tie", "loss"):
        out[f"against_guard_band_{name}"] = sum(d["against_guard_band"] == name for d in days)
    out["false_alarms"] = sum(d["false_alarm"] for d in days)
    out["missed_onsets"] = sum(d["missed_onset"] for d in days)
    out["quiet_days"] = sum(d["onset_s"] is None for d in days)
    out["quiet_days_left_alone"] = sum(
        d["onset_s"] is None and not d["wattcast"]["moves"] + d["wattcast"]["transfers"]
        for d in days
    )
    return out


def _line(day: Json) -> str:
    parts = [
        f"{p} {day[p]['overload_minutes']:g}/{day[p]['n1_violation_minutes']:g} min"
        f" {day[p]['moves']}+{day[p]['transfers']}"
        for p in _POLICIES
    ]
    return f"seed {day['seed']:3}: {', '.join(parts)}: {day['against_guard_band']}"


def _table(sums: Json) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "no control", "guard band", "Wattcast")
    for key in sums["wattcast"]:
        table.add_row(key.replace("_", " "), *(f"{sums[p][key]:g}" for p in _POLICIES))
    console = Console()
    console.print(table)
    for key, value in sums.items():
        if key not in _POLICIES:
            console.print(f"{key.replace('_', ' ')}: {value}")
