"""How many servers the same feeds carry without an N-1 violation, by way of operation.

Rooms of six feeds are filled with recorded machines, each rack with one tenant's (--mixed: with
anybody's), until a feed would have been over its limit in any step of the test part, intact or
after the loss of any other. Compared are: nameplate; the sum of the servers' own peaks; everything
where it was delivered; the best placement found knowing the test part (static); a reactive guard
band; Wattcast with its own forecaster; an oracle that knows the next hour; and the balance bound
that no placement can pass. Guard band, Wattcast and oracle ask the live system's planner and may do
the same. The guard's width and Wattcast's margin are tuned alike, on the fit part only: fewest
violations, then fewest actions, in rooms filled to 92 % of the bound. Beside it stands a guard band
of the width that turned out best on the test part (hindsight), which nobody could have chosen.

examples: wattcast bench capacity --json
          wattcast bench capacity --panel DIR --days 7 --mixed
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_tools.capacity.pool import Pool
    from wattcast_tools.capacity.study import Setting

Json = dict[str, Any]
_STEPS_A_DAY = 288
_FIT_SHARE = 0.4  # of the recording, before the test part
_FIT_DAYS = 3  # of it at most, nearest to the test part
_WARM_UP = 144  # steps walked before the fit part, for windows and calibration
_POLICIES = ("guard_band", "wattcast", "oracle")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wattcast bench capacity``."""
    add = parser.add_argument
    add("--seeds", type=int, default=3, help="rooms (default 3)")
    add("--first-seed", type=int, default=1, help="the first one (default 1)")
    add("--panel", type=Path, metavar="DIR", help="other recorded machines: servers.parquet of a"
        " back-test, or vms_*.parquet (default: those that ship)")  # fmt: skip
    add("--days", type=float, help="length of the test part (default: 3, or all if shorter)")
    add("--mixed", action="store_true", help="no tenants: every server runs anybody's workloads")
    add("--limit-kw", type=float, default=15.0, help="of each feed (default 15)")
    add("--jobs", type=int, default=2, help="processes (default 2)")
    add("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Tune on the fit part, measure on the test part, tell."""
    import json

    from wattcast_core.errors import ConfigError

    if args.seeds < 1 or args.jobs < 1 or not args.limit_kw > 0:
        raise ConfigError("--seeds and --jobs: at least 1; --limit-kw: above 0")
    if args.days is not None and not args.days > 0:
        raise ConfigError("--days: above 0")
    result = study(args)
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        _table(result)
    return 0


def study(args: argparse.Namespace) -> Json:
    """The whole study as JSON."""
    from wattcast_tools.capacity import pool as pools
    from wattcast_tools.capacity.study import GUARDS, MARGINS

    machines = pools.read(args.panel) if args.panel else pools.shipped()
    setting = _setting(args, machines)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    with _pool(setting, args.jobs) as each:
        tuning = {
            "guard_band": _tuned(each, "guard_band", seeds, GUARDS),
            "wattcast": _tuned(each, "wattcast", seeds, MARGINS),
        }
        chosen = [tuning[name]["chosen"] for name in ("guard_band", "wattcast")]
        _tell(f"tuned on the fit part: guard band {chosen[0]:.0%}, margin {chosen[1]:g} sigma")
        rooms = []
        for room in each(_measure, [(seed, *chosen) for seed in seeds]):
            _tell(f"seed {room['seed']}: {room['servers']}")
            rooms.append(room)
    return {
        "machines": machines.name,
        "rooms_let": "mixed" if args.mixed else "by tenant",
        "seeds": list(seeds),
        "fit_days": round(len(setting.fit) / _STEPS_A_DAY, 2),
        "test_days": round(len(setting.test) / _STEPS_A_DAY, 2),
        "tuning": tuning,
        "median": _medians(rooms),
        "goals": goals(rooms),
        "rooms": rooms,
    }


def _setting(args: argparse.Namespace, machines: "Pool") -> "Setting":
    """Fit and test part, and the forecasts of both."""
    from wattcast_core.errors import ConfigError
    from wattcast_tools.capacity import foresight
    from wattcast_tools.capacity.room import Plot
    from wattcast_tools.capacity.study import Setting

    steps = machines.use.shape[1]
    split = round(_FIT_SHARE * steps)
    fit = range(max(_WARM_UP, split - _FIT_DAYS * _STEPS_A_DAY), split)
    test = range(split, min(steps, split + round((args.days or 3) * _STEPS_A_DAY)))
    if len(fit) < _STEPS_A_DAY or len(test) < _STEPS_A_DAY // 2:
        raise ConfigError(
            f"--panel, --days: {len(fit) / _STEPS_A_DAY:.1f} days to fit on and"
            f" {len(test) / _STEPS_A_DAY:.1f} to test on; the least are four recorded days, half a"
            " day of them to test on"
        )
    first = fit.start - _WARM_UP
    total, told = test.stop - first, max(1, (test.stop - first) // 10)

    def progress(done: int) -> None:
        if done % told == 0:
            _tell(f"forecasting {len(machines.use)} machines: {100 * done // total} %")

    seen = foresight.forecast(machines, first, test.stop, progress)
    plot = Plot(0, limit_w=1000 * args.limit_kw, mixed=args.mixed)
    return Setting(machines, seen, plot, fit, test)


def _tuned(each: "_Each", name: str, seeds: Sequence[int], values: Sequence[float]) -> Json:
    """The value with fewest violations, then actions, over all seeds together."""
    results = list(each(_try, [(seed, name, value) for value in values for seed in seeds]))
    sums: dict[float, tuple[int, int]] = {}
    for value in values:
        own = [facts for at, facts in results if at == value]
        sums[value] = sum(v for v, _ in own), sum(a for _, a in own)
    tried = [{"value": v, "violations": n, "actions": a} for v, (n, a) in sums.items()]
    return {"chosen": min(sums, key=lambda v: sums[v]), "tried": tried}


_Each = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[Any]]
_held: list["Setting"] = []  # of a worker process


class _pool:  # noqa: N801 - used as a function: with _pool(...) as each
    """Worker processes that hold the setting; one job runs in this process."""

    def __init__(self, setting: "Setting", jobs: int) -> None:
        self._setting, self._jobs = setting, jobs

    def __enter__(self) -> _Each:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        if self._jobs == 1:
            _hold(self._setting)
            self._workers = None
            return lambda work, calls: (work(*call) for call in calls)
        self._workers = ProcessPoolExecutor(
            self._jobs, get_context("spawn"), initializer=_hold, initargs=(self._setting,)
        )
        workers = self._workers
        return lambda work, calls: workers.map(work, *zip(*calls, strict=True))

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)


def _hold(setting: "Setting") -> None:
    _held[:] = [setting]


def _try(seed: int, name: str, value: float) -> tuple[float, tuple[int, int]]:
    from wattcast_tools.capacity import study as studies

    setting = _held[0].seeded(seed)
    make = {"guard_band": studies.guard_band, "wattcast": studies.wattcast}[name]
    return value, studies.tried(setting, make(setting, value))


def _measure(seed: int, guard: float, margin: float) -> Json:
    from wattcast_tools.capacity.study import seed_result

    return seed_result(_held[0].seeded(seed), guard, margin)


def _medians(rooms: Sequence[Json]) -> Json:
    import numpy as np

    servers = {
        name: float(np.median([room["servers"][name] for room in rooms]))
        for name in rooms[0]["servers"]
    }
    actions = {
        name: {
            key: float(np.median([room["at_equal"][name][key] for room in rooms]))
            for key in ("moves", "transfers", "disruption", "kwh")
        }
        for name in _POLICIES
    }
    return {"servers": servers, "at_equal": actions}


def goals(rooms: Sequence[Json]) -> Json:
    """Medians over the rooms against the goals, met or not."""
    import numpy as np

    def ratio(over: str, under: str) -> float:
        return float(np.median([r["servers"][over] / r["servers"][under] for r in rooms]))

    def actions(room: Json, name: str) -> int:
        return int(room["at_equal"][name]["moves"] + room["at_equal"][name]["transfers"])

    fewer = float(
        np.median([1 - actions(r, "wattcast") / max(actions(r, "guard_band"), 1) for r in rooms])
    )
    more = ratio("wattcast", "guard_band") - 1
    static = ratio("wattcast", "static_best") - 1
    oracle = ratio("wattcast", "oracle")
    return {
        "more_than_best_static": {"is": round(static, 4), "goal": 0.25, "met": static >= 0.25},
        "most_possible_over_best_static": round(ratio("balance_bound", "static_best") - 1, 4),
        "more_than_as_delivered": round(ratio("wattcast", "static_as_delivered") - 1, 4),
        "more_than_guard_band_hindsight": round(ratio("wattcast", "guard_band_hindsight") - 1, 4),
        "more_than_sum_of_peaks": round(ratio("wattcast", "sum_of_peaks") - 1, 4),
        "more_than_nameplate": round(ratio("wattcast", "nameplate") - 1, 4),
        "of_oracle": {"is": round(oracle, 4), "goal": 0.95, "met": oracle >= 0.95},
        "over_guard_band": {
            "fewer_actions": round(fewer, 4),
            "more_servers": round(more, 4),
            "goal": "at equal violations 50 % fewer moves and transfers, or 3 % more servers",
            "met": fewer >= 0.5 or more >= 0.03,
        },
        "forecasting_earns_here": fewer >= 0.5 or more >= 0.03,
    }


def _tell(text: str) -> None:
    import sys

    print(text, file=sys.stderr, flush=True)


def _table(result: Json) -> None:
    from rich.console import Console
    from rich.table import Table

    found, console = result["goals"], Console()
    table = Table("", "servers", "moves", "transfers", title=result["machines"])
    for name, servers in result["median"]["servers"].items():
        acts = result["median"]["at_equal"].get(name)
        shown = [f"{acts[key]:g}" for key in ("moves", "transfers")] if acts else ["", ""]
        table.add_row(name.replace("_", " "), f"{servers:g}", *shown)
    console.print(table)
    console.print("medians; moves and transfers in rooms of the size that both carry")
    for name, value in found.items():
        console.print(f"{name.replace('_', ' ')}: {value}")
