"""The load side of a problem: which workload draws what, where, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wattcast_configs.site import Workload
from wattcast_coordinator.aggregate.attribution import use_shares
from wattcast_coordinator.aggregate.correlation import Correlation
from wattcast_coordinator.aggregate.outlook import Outlook
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.ports import Inputs, MoveState, Usage
from wattcast_coordinator.topology.graph import Graph
from wattcast_coordinator.topology.instance import BoolArray, IntArray
from wattcast_core.units import FloatArray

CRIT_COST = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0])
_OWN = Workload(id="", server="", application="", cpu=0.0, mem_gib=0.0)


@dataclass(frozen=True, slots=True)
class Load:
    """One row of the problem.

    Attributes:
        name: the workload; empty for a server's own load and the twin of a moving workload.
        server: index of the server it draws on.
        twin_of: row whose watts this one repeats at its destination; -1 = draws its own.
    """

    workload: Workload
    name: str
    server: int
    movable: bool = False
    twin_of: int = -1


@dataclass(frozen=True, slots=True)
class Loads:
    """All rows as index arrays."""

    rows: tuple[Load, ...]
    server: IntArray
    twin_of: IntArray

    @property
    def original(self) -> BoolArray:
        """[W] rows that are no twin."""
        return self.twin_of < 0


def place(graph: Graph, inputs: Inputs, standing: Standing, open_servers: BoolArray) -> Loads:
    """Every workload where it runs, moving ones on both servers, and servers' own loads.

    Args:
        graph: the room.
        inputs: placement and migrations under way.
        standing: what rests.
        open_servers: [S] servers on which something may be done.
    """
    moving = {m.move.workload: m.move for m in inputs.moves if m.state is MoveState.RUNNING}
    rows = [
        _row(graph, workload, inputs, standing, open_servers, held=workload.id in moving)
        for workload in graph.site.workload
    ]
    for name, move in moving.items():
        if name in graph.workload and move.target in graph.server:
            index = graph.workload[name]
            twin = Load(rows[index].workload, "", graph.server[move.target], twin_of=index)
            rows.append(twin)
    used = {row.server for row in rows if row.twin_of < 0}
    rows += [Load(_OWN, "", s) for s in range(len(graph.servers)) if s not in used]
    return Loads(
        tuple(rows),
        np.array([row.server for row in rows], dtype=np.int64),
        np.array([row.twin_of for row in rows], dtype=np.int64),
    )


def _row(
    graph: Graph, workload: Workload, inputs: Inputs, standing: Standing, open_servers: BoolArray,
    *, held: bool,
) -> Load:  # fmt: skip
    moving = [m.move.source for m in inputs.moves if held and m.move.workload == workload.id]
    at = moving[0] if moving else inputs.placement.get(workload.id, workload.server)
    server = graph.server.get(at, graph.server[workload.server])
    free = not held and at in graph.server and workload.id not in standing.resting
    free = free and bool(open_servers[server]) and graph.cpu[server] > 0
    return Load(workload, workload.id, server, movable=workload.movable and free)


def disturbance(graph: Graph, loads: Loads) -> FloatArray:
    """[S] summed cost of disturbing what runs on each server."""
    crit = np.array([row.workload.criticality for row in loads.rows])
    cost = CRIT_COST[crit] * loads.original
    return np.bincount(loads.server, cost, len(graph.servers)).astype(np.float64)


def demand(graph: Graph, loads: Loads, bandwidth_mib_s: float) -> dict[str, Any]:
    """What the workloads need and may, except their watts."""
    work = [row.workload for row in loads.rows]
    count = len(work)
    groups = [int(graph.quorum[graph.workload[r.name]]) if r.name else -1 for r in loads.rows]
    return {
        "wl_server": loads.server,
        "wl_cpu": np.array([w.cpu for w in work]),
        "wl_mem": np.array([w.mem_gib for w in work]),
        "wl_crit": np.array([w.criticality for w in work], dtype=np.int64),
        "wl_anti": np.full(count, -1),
        "wl_quorum": np.array(groups, dtype=np.int64),
        "wl_movable": np.array([row.movable for row in loads.rows]),
        "wl_state_gib": np.array([w.state_gib for w in work]),
        "wl_bw_mibs": np.full(count, bandwidth_mib_s),
    }


def capacity(graph: Graph, loads: Loads, targets: BoolArray) -> dict[str, FloatArray]:
    """[S] CPU and memory: what is used already is granted; others than targets have no more."""
    out = {}
    for name, own, need in (
        ("server_cpu", graph.cpu, [r.workload.cpu for r in loads.rows]),
        ("server_mem", graph.mem, [r.workload.mem_gib for r in loads.rows]),
    ):
        used = np.bincount(loads.server, need, len(graph.servers))
        out[name] = np.where(targets, np.maximum(own, used), used)
    return out


def watts(
    graph: Graph,
    outlook: Outlook,
    loads: Loads,
    correlation: Correlation,
    applications: Sequence[str],
    *,
    doubt: bool,
    usage: Mapping[str, Usage],
) -> dict[str, Any]:
    """Means and deviations of the workloads, and the servers' idle power.

    The sum of a server's rows has the server's forecast mean and deviation exactly (as seen
    through ``growth``, the room's common widening with the horizon).

    Args:
        graph: the room.
        outlook: forecasts of the servers.
        loads: which workload runs where.
        correlation: of the servers' deviations.
        applications: names of the factors after the common one.
        doubt: count the doubt about carried loads.
        usage: what workloads use, where it is known; else nominal CPU stands for it.
    """
    idle_w = np.minimum(graph.idle_w, outlook.mean_w.min(1))
    part = _parts(loads, len(graph.servers), usage)
    growth = _growth(outlook.sigma_w)
    sigma_w = np.sqrt(((outlook.sigma_w / growth) ** 2).mean(1))
    doubt_w = outlook.doubt_w / growth.mean() * doubt
    # A twin draws what its original draws, converted to the reference hardware alike.
    of = np.where(loads.original, np.arange(len(loads.server)), loads.twin_of)
    home = loads.server[of]
    scale = (part / graph.eff[loads.server])[of]
    factor_w = scale[:, None] * sigma_w[home][:, None] * _shares(loads, correlation, applications)
    own_w2 = _own_variance(graph, loads, factor_w, sigma_w, doubt_w)
    return {
        "server_idle_w": idle_w,
        "wl_w": scale[:, None] * (outlook.mean_w - idle_w[:, None])[home],
        "wl_sigma_w": (np.sqrt(part * own_w2[loads.server]) / graph.eff[loads.server])[of],
        "wl_factor_w": factor_w,
        "growth": growth,
    }


def _parts(loads: Loads, servers: int, usage: Mapping[str, Usage]) -> FloatArray:
    """[W] share of each row in its server's dynamic power, by use or nominal CPU; twins none."""
    need = np.array([max(row.workload.cpu, 1e-6) for row in loads.rows]) * loads.original
    total = np.bincount(loads.server, need, servers)
    part = np.asarray(need / np.maximum(total[loads.server], 1e-12))
    for server in {row.server for row in loads.rows if row.name in usage}:
        here = np.flatnonzero((loads.server == server) & loads.original)
        used = [usage.get(loads.rows[place].name, Usage()) for place in here]
        part[here] = use_shares(part[here], used)
    return part


def _growth(sigma_w: FloatArray) -> FloatArray:
    """[H] how deviations widen with the horizon, summed over the room; the widest step is 1."""
    total = np.maximum(sigma_w.sum(0), 1e-6)
    return np.asarray(total / total.max())


def _shares(loads: Loads, correlation: Correlation, names: Sequence[str]) -> FloatArray:
    """[W, 1 + A] root of the share of variance on the common and the applications' factors."""
    out = np.zeros((len(loads.rows), 1 + len(names)))
    out[:, 0] = np.sqrt(correlation.common)
    for index, row in enumerate(loads.rows):
        if row.workload.application in names:
            column = names.index(row.workload.application)
            out[index, 1 + column] = np.sqrt(correlation.application[column])
    return out


def _own_variance(
    graph: Graph, loads: Loads, factor_w: FloatArray, sigma_w: FloatArray, doubt_w: FloatArray
) -> FloatArray:
    """[S] what the factors leave of each server's variance, plus the doubt."""
    count = len(graph.servers)
    real = (loads.original * graph.eff[loads.server])[:, None] * factor_w
    on_server = np.stack([np.bincount(loads.server, column, count) for column in real.T], axis=1)
    return np.asarray(np.maximum(sigma_w**2 - (on_server**2).sum(1), 0) + doubt_w**2)
