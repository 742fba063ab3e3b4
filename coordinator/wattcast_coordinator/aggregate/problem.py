"""From forecasts of servers to a planning problem over workloads.

A server's idle power stays with it; its dynamic power is split over its workloads by what they use
(see ``attribution``), or by nominal CPU where that is not known.
A server without workloads (switches, appliances, empty hosts) carries its own load as a nameless
workload that cannot move. A workload in motion counts in full on both servers.

A lost feed is taken out: its cords are dead, its switches stand on their live source. The room is
then judged against the emergency limits, without further contingencies: those limits are meant for
the time that one loss stands, and promise nothing for a second one.

Contingencies are the single feeds. By dominance (cords on different feeds, full losses only,
non-negative loadings) they cover every rack PDU and switch source below; a rack PDU that carries a
cord of a server with both cords on one feed is listed too.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate import supply, workloads
from wattcast_coordinator.aggregate.cooling import allowance_w
from wattcast_coordinator.aggregate.correlation import Correlation, estimate
from wattcast_coordinator.aggregate.outlook import look
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray


@dataclass(frozen=True, slots=True)
class Problem:
    """A planning problem and what it rests on.

    Attributes:
        instance: with the doubt about carried loads; plans are made against it.
        evidence: without that doubt; risk is judged on it, so that missing data alone never acts.
        workloads: [W] names; empty for a server's own load and the twin of a moving workload.
        stale: servers without a fresh forecast.
        unknown: those of them that were not measured lately; their feeds are frozen.
        frozen: feeds on which nothing may be done.
        correlation: of the servers' deviations.
    """

    instance: Instance
    evidence: Instance
    workloads: tuple[str, ...]
    stale: tuple[str, ...]
    unknown: tuple[str, ...]
    frozen: frozenset[str]
    correlation: Correlation

    def reference_w(self, workload: str) -> float:
        """Present watts of a workload on the reference hardware; 0 if it is not in the room."""
        if workload not in self.workloads:
            return 0.0
        return float(self.instance.wl_w[self.workloads.index(workload), 0])


def build(graph: Graph, inputs: Inputs, decision: Decision, standing: Standing) -> Problem:
    """Lay out the problem of this cycle; ``lead_s`` is the whole horizon until risk is known."""
    outlook = look(graph, inputs, decision, standing.shifts)
    unknown = _named(graph, ~outlook.known)
    frozen = standing.frozen.union(*(graph.feeds_of(name) for name in unknown))
    open_servers = outlook.fresh & ~graph.supplied_by(frozen)
    loads = workloads.place(graph, inputs, standing, open_servers)
    targets = open_servers & ~np.isin(graph.servers, list(standing.no_target | standing.lost))
    targets &= ~np.isin(graph.servers, supply.dark(graph, standing.lost))
    names = sorted({w.application for w in graph.site.workload})
    correlation = estimate(
        graph.servers, _main_application(graph, loads, names), len(names), inputs.recent_w
    )
    arrays: dict[str, Any] = {
        **supply.arrays(graph, standing, frozen, workloads.disturbance(graph, loads)),
        "price_per_kwh": supply.prices(graph, inputs.price_per_kwh),
        **workloads.capacity(graph, loads, targets),
        **workloads.demand(graph, loads, decision.bandwidth_mib_s / inputs.speed),
        **_scalars(graph, inputs, decision, steps=outlook.mean_w.shape[1]),
        **_caution(decision, standing),
        "rack_cooling_w": allowance_w(graph, inputs, outlook.mean_w),
    }
    sure, doubtful = (
        workloads.watts(graph, outlook, loads, correlation, names, doubt=doubt, usage=inputs.usage)
        for doubt in (False, True)
    )
    return Problem(
        Instance(**arrays, **doubtful),
        Instance(**arrays, **sure),
        tuple(row.name for row in loads.rows),
        _named(graph, ~outlook.fresh),
        unknown,
        frozen,
        correlation,
    )


def _named(graph: Graph, which: BoolArray) -> tuple[str, ...]:
    return tuple(graph.servers[i] for i in np.flatnonzero(which))


def _main_application(graph: Graph, loads: workloads.Loads, names: list[str]) -> IntArray:
    """[S] application of each server's largest workload, -1 = none."""
    out = np.full(len(graph.servers), -1, np.int64)
    for row in sorted(loads.rows, key=lambda row: row.workload.cpu):
        if row.name:
            out[row.server] = names.index(row.workload.application)
    return out


def _scalars(graph: Graph, inputs: Inputs, decision: Decision, *, steps: int) -> dict[str, Any]:
    return {
        "server_eff": graph.eff,
        "server_rack": graph.rack,
        "step_s": decision.step_s,
        "double_run": 1.0,
        "lead_s": steps * decision.step_s,
        "setup_s": decision.setup_real_s * inputs.speed,
        "max_moves": decision.max_moves,
        "max_ats": decision.max_transfers,
        "max_parallel": decision.max_parallel,
        "max_parallel_server": decision.max_parallel,
        "max_parallel_rack": decision.max_parallel,
        "crit_cost": workloads.CRIT_COST,
    }


def _caution(decision: Decision, standing: Standing) -> dict[str, float]:
    """Margins in deviations; once a loss has come, that of the plans which prepared for it."""
    normal = NormalDist()
    z_n1 = normal.inv_cdf(decision.n1_quantile)
    z_base = z_n1 if standing.lost else normal.inv_cdf(decision.base_quantile)
    return {"z_base": z_base, "z_n1": z_n1}
