"""Time of all single losses and of all pairs of losses, with cascades, in seeded rooms.

Single losses: quantile loads of every node over 12 steps, from servers' forecasts to the list of
what is over its limit, after compilation. Pairs (N-1-1): every single loss on top of every single
fault, common causes (a utility) among them, each overload that would trip followed until nothing
trips any more. Times are of one thread's CPU, medians of several runs.

The peer in the same run keeps a sparse matrix [nodes, servers] for each loss (scipy) and multiplies
the forecasts by each; it is timed on a sample of losses and scaled to all. Results must agree.

example: wattcast bench n1 --servers 1000 10000 50000 --json
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from wattcast_coordinator.risk.cascade import Situation
    from wattcast_coordinator.risk.nminus import Limits, Moments
    from wattcast_coordinator.topology.buckets import Gather
    from wattcast_coordinator.topology.matrices import Matrices
    from wattcast_coordinator.topology.network import Network

_FEEDS = {1000: 8, 10000: 16, 50000: 30}
_SAMPLE = 8  # losses that the peer is timed on
_NOT_LOST = ("phase", "ATS")
_TRIPS = {"ups": ("huawei_ups2000g", "line"), "panel": ("iec60898_c", ""),
          "rack PDU": ("iec60898_c", "")}  # fmt: skip
_AGREE_W = 1e-6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast bench n1``."""
    parser.add_argument("--servers", type=int, nargs="+", default=[1000, 10000, 50000])
    parser.add_argument("--runs", type=int, default=15, help="evaluations each (default 15)")
    parser.add_argument("--seed", type=int, default=0, help="of the room (default 0)")
    parser.add_argument("--spare", type=float, default=0.02,
                        help="by which every node is secure after a loss (0.02)")  # fmt: skip
    parser.add_argument("--pairs-up-to", type=int, default=10000, metavar="SERVERS",
                        help="largest room in which pairs are judged (10000)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Measure each size; 1 if the peer does not agree."""
    results = [_one(args, servers) for servers in args.servers]
    if args.json:
        print(json.dumps({"seed": args.seed, "spare": args.spare, "rooms": results}, indent=2))
    else:
        for result in results:
            print("  ".join(f"{key} {value}" for key, value in result.items()))
    return 0 if all(result["agrees"] for result in results) else 1


def _timed(runs: int, work: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU milliseconds: median and 95th percentile; and the last result."""
    import numpy as np

    times, out = [], None
    for _ in range(runs):
        begin = time.process_time()
        out = work()
        times.append(1000 * (time.process_time() - begin))
    return float(np.median(times)), float(np.percentile(times, 95)), out


def _one(args: argparse.Namespace, servers: int) -> dict[str, Any]:
    import numpy as np

    from wattcast_coordinator.risk.nminus import Limits, assess
    from wattcast_coordinator.topology.buckets import gather
    from wattcast_coordinator.topology.matrices import build
    from wattcast_tools import n1_rooms

    rng = np.random.default_rng(args.seed)
    feeds = _FEEDS.get(servers, max(4, servers // 700))
    network, kinds = n1_rooms.network(servers, feeds, rng)
    moments = n1_rooms.forecasts(servers, rng)
    lost = [np.array([n]) for n, kind in enumerate(kinds) if kind not in _NOT_LOST]
    build_ms, _, matrices = _timed(3, lambda: build(network, lost))
    gathered = gather(matrices.buckets, network.share)
    unlimited = np.full(len(network), np.inf)
    free = assess(
        matrices, gathered, moments, Limits(unlimited, unlimited, n1_rooms.Z_BASE, n1_rooms.Z_N1)
    )
    base_w = free.base.quantile_w(n1_rooms.Z_BASE).max(1)
    worst_w = free.base.quantile_w(n1_rooms.Z_N1).max(1)
    np.maximum.at(worst_w, free.matrices.node, free.rows.quantile_w(n1_rooms.Z_N1).max(1))
    limits = n1_rooms.limits(base_w, worst_w, args.spare)
    eval_ms, p95_ms, _ = _timed(
        args.runs, lambda: assess(matrices, gathered, moments, limits, prune=True).over()
    )
    all_ms, _, _ = _timed(args.runs, lambda: assess(matrices, gathered, moments, limits).over())
    peer_ms, difference_w = _peer(network, lost, moments, free.matrices, free.rows.mean_w)
    out = {
        "servers": servers,
        "feeds": feeds,
        "nodes": len(network),
        "losses": len(lost),
        "rows": len(free.matrices.node),
        "rows_undominated": len(matrices.undominated.node),
        "build_ms": round(build_ms, 1),
        "eval_ms_p50": round(eval_ms, 2),
        "eval_ms_p95": round(p95_ms, 2),
        "eval_unpruned_ms_p50": round(all_ms, 2),
        "peer": "a scipy.sparse matrix a loss",
        "peer_ms": round(peer_ms, 1),
        "peer_over_ours": round(peer_ms / eval_ms, 1),
        "largest_difference_w": difference_w,
        "agrees": bool(difference_w < _AGREE_W),
    }
    if servers <= args.pairs_up_to:
        out |= _pairs((matrices, gathered, moments), limits, kinds, args.runs)
    return out


def _peer(
    network: "Network",
    lost: "list[np.ndarray]",
    moments: "Moments",
    ours: "Matrices",
    rows_w: "np.ndarray",
) -> tuple[float, float]:
    """(milliseconds for all losses, largest difference of mean loads on the sample)."""
    import numpy as np

    from wattcast_tools.server_matrices import loss_matrix

    columns = np.hstack([moments.values, moments.variance[:, None]])
    total_ms, worst_w = 0.0, 0.0
    sample = np.linspace(0, len(lost) - 1, _SAMPLE).astype(int)
    for case in sample:
        linear, square = loss_matrix(network, lost[case])
        begin = time.process_time()
        values = linear @ columns[:, :-1]
        variance = square @ columns[:, -1]
        steps = len(moments.growth)
        sigma = np.sqrt((values[:, steps:] ** 2).sum(1) + variance)
        _ = values[:, :steps] + 1.28 * sigma[:, None] * moments.growth
        total_ms += 1000 * (time.process_time() - begin)
        here = ours.case == case + 1
        difference = np.abs(values[ours.node[here], :steps] - rows_w[here])
        worst_w = max(worst_w, float(difference.max(initial=0.0)))
    return total_ms / len(sample) * len(lost), worst_w


def _pairs(
    room: "tuple[Matrices, Gather, Moments]", limits: "Limits", kinds: list[str], runs: int
) -> dict[str, Any]:
    import numpy as np

    from wattcast_coordinator.risk import pairs
    from wattcast_coordinator.risk.cascade import follow
    from wattcast_coordinator.risk.nminus import assess
    from wattcast_coordinator.topology.second import compile_second

    matrices, gathered, moments = room
    second_ms, _, second = _timed(1, lambda: compile_second(matrices))
    situation = _situation(matrices, gathered, moments, limits, kinds)

    def judged() -> pairs.Pairs:
        single = assess(matrices, gathered, moments, limits, every=True)
        return pairs.judge(single, second, gathered, moments)

    pairs_ms, _, found = _timed(max(3, runs // 5), judged)
    hard_ms, _, hard = _timed(1, lambda: pairs.tripping(found, situation))
    cases = [np.concatenate([matrices.lost[i], matrices.lost[j]]) for i, j in hard]
    follow_ms, _, ends = _timed(1, lambda: follow(situation, cases))
    return {
        "pairs": found.checked,
        "pairs_build_ms": round(second_ms, 1),
        "pairs_eval_ms": round(pairs_ms, 1),
        "pairs_over_a_limit": len(np.unique(np.stack([found.first, found.second]), axis=1).T),
        "pairs_that_trip": len(hard),
        "trips": sum(len(end.trips) for end in ends),
        "most_dark": max((len(end.dark) for end in ends), default=0),
        "cascade_ms": round(hard_ms + follow_ms, 1),
        "n11_ms": round(pairs_ms + hard_ms + follow_ms, 1),
        "n11_with_build_ms": round(second_ms + pairs_ms + hard_ms + follow_ms, 1),
    }


def _situation(
    matrices: "Matrices", gathered: "Gather", moments: "Moments", limits: "Limits", kinds: list[str]
) -> "Situation":
    import numpy as np

    from wattcast_configs.curves import load_curves
    from wattcast_coordinator.risk.cascade import Protection, Situation
    from wattcast_coordinator.risk.trip import curve_for

    curves = {
        kind: curve_for(load_curves()[name], mode, 25.0) for kind, (name, mode) in _TRIPS.items()
    }
    protections = tuple(
        Protection(node, float(limits.n1_w[node]), curves[kind])
        for node, kind in enumerate(kinds)
        if kind in curves
    )
    return Situation(
        matrices.network,
        np.zeros(0, np.int64),
        gathered,
        moments,
        limits.z_n1,
        300.0,
        protections,
    )
