"""Prove a plan: every state, every node, the intact room and every loss, nothing left out.

The search works with the constraints that can bind and adds loads up action by action. Here all
cases and nodes are judged, and loads follow from what each server draws in each state.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from wattcast_coordinator.aggregate.loads import server_loads
from wattcast_coordinator.plan.itinerary import Itinerary, Moves, Transfers, lay_out
from wattcast_coordinator.plan.names import name_of
from wattcast_coordinator.plan.network import Network
from wattcast_coordinator.plan.rows import quantile
from wattcast_coordinator.plan.rules import broken_rules
from wattcast_coordinator.plan.ways import Entries, way_loads
from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray
from wattcast_core.units import FloatArray

_TOLERANCE_W = 5e-4  # sums of floats differ


@dataclass(frozen=True, slots=True)
class _Draw:
    """What servers draw through ways beyond what they draw there now, in each state.

    Attributes:
        server, way: [draws].
        linear: [states, draws, H + R] mean watts beside factor loadings.
        variance: [states, draws] own variance.
    """

    server: IntArray
    way: IntArray
    linear: FloatArray
    variance: FloatArray


class Verifier:
    """The room as it is, against which plans are proved.

    Judged are: every node intact; every node after every loss that changes its load; and every
    node once more for the losses that leave its load alone, with their margin and limit.

    Attributes:
        case, node: [loads] what is judged.
        limit_w: [loads]; nothing_w: [loads, H] quantile loads if nothing is done.
        standing: rules that the room breaks as it is, in words.
    """

    def __init__(self, instance: Instance, network: Network) -> None:
        self._instance, self._network = instance, network
        self._patient = replace(instance, lead_s=np.inf)
        self.standing = tuple(broken_rules(self._patient, lay_out(instance, (), ())))
        self._drawn = server_loads(instance, instance.wl_server)
        nodes = len(instance.node_parent)
        alone = np.flatnonzero(network.same.any(0))
        changed = np.flatnonzero(network.changed.ravel())
        self.node = np.concatenate([np.arange(nodes), alone, changed % nodes])
        self.case = np.concatenate(
            [np.zeros(nodes, np.int64), network.same[:, alone].argmax(0), changed // nodes]
        )
        self._slot = np.full(network.changed.size, -1)
        self._slot[changed] = nodes + len(alone) + np.arange(len(changed))
        intact = self.case == 0
        self._z = np.where(intact, instance.z_base, instance.z_n1)
        self.limit_w = np.where(
            intact, instance.limit_base_w[self.node], instance.limit_n1_w[self.node]
        )
        self._linear, self._variance = self._present()
        self.nothing_w = self._all_w(self._linear, self._variance)

    def faults(self, moves: Moves, transfers: Transfers, *, cure: bool = True) -> tuple[str, ...]:
        """What a plan violates that the room does not violate already; empty if it is proved.

        Args:
            moves: workload, server and start_s each.
            transfers: node, source and start_s each.
            cure: whether everything must be within limits from lead_s on; otherwise a plan must
                make nothing worse at any time, and may last.
        """
        instance = self._instance if cure else self._patient
        plan = lay_out(instance, moves, transfers)
        found = [rule for rule in broken_rules(instance, plan) if rule not in self.standing]
        if not np.isin(plan.node, self._network.ats).all():
            found.append("an ATS may not be transferred")
        return tuple(found or self._overloads(plan, instance.lead_s))

    def risk(self, moves: Moves, transfers: Transfers) -> tuple[FloatArray, FloatArray]:
        """[loads, H] quantile loads in a plan's final state, and P(more than the limit)."""
        plan = lay_out(self._instance, moves, transfers)
        *_, (linear, variance, _) = self._states(self._draws(plan), np.arange(len(self.node)))
        growth = self._instance.growth
        factor = linear[:, len(growth) :]
        sigma_w = np.sqrt(np.maximum((factor**2).sum(1) + variance, 1e-9))[:, None] * growth
        beyond_w = linear[:, : len(growth)] - self.limit_w[:, None]
        probability = ndtr(beyond_w / np.maximum(sigma_w, 1e-9))
        return self._all_w(linear, variance), np.asarray(probability)

    def _all_w(self, linear: FloatArray, variance: FloatArray) -> FloatArray:
        every = np.arange(len(self.node))
        return self._quantile(every, linear, variance, np.arange(len(self._instance.growth)))

    def _present(self) -> tuple[FloatArray, FloatArray]:
        """Moments of all loads now: the intact ones, and what each loss changes about them."""
        instance, network = self._instance, self._network
        loads = way_loads(self._drawn, network.way, network.part, network.count)
        linear, variance = (
            part[self.node] for part in network.intact.moments(loads, len(instance.node_parent))
        )
        slot = self._slot[network.lost.row]
        lost = slot >= 0
        after = Entries(slot, network.lost.way, network.lost.fraction).some(lost)
        before = Entries(slot[lost], after.way, after.fraction - network.gain[lost])
        for sign, entries in ((1.0, after), (-1.0, before)):
            change = entries.moments(loads, len(self.node))
            linear += sign * change[0]
            variance += sign * change[1]
        return linear, variance

    def _quantile(
        self, loads: IntArray, linear: FloatArray, variance: FloatArray, step: IntArray
    ) -> FloatArray:
        growth = self._instance.growth
        steps = np.concatenate([step, np.arange(len(growth), linear.shape[1])])
        return quantile(linear[:, steps], variance, self._z[loads], growth[step])

    def _overloads(self, plan: Itinerary, lead_s: float) -> list[str]:
        """Loads over their limit from lead_s on, or before that over doing nothing as well."""
        instance, steps = self._instance, len(self._instance.growth)
        strict = (np.arange(steps) + 1) * instance.step_s > lead_s
        draw = self._draws(plan)
        touched = self._touched(draw)
        stay = (self.nothing_w > self.limit_w[:, None] + _TOLERANCE_W)[:, strict].any(1) & ~touched
        found = [f"{self.name(int(load))} stays over its limit" for load in np.flatnonzero(stay)]
        loads = np.flatnonzero(touched)
        limit_w = self.limit_w[loads, None]
        soft_w = np.maximum(limit_w, self.nothing_w[loads])
        judged: list[int] = []
        for state, (linear, variance, new) in enumerate(self._states(draw, loads)):
            first, last, until_s = plan.window(state, instance.step_s, steps)
            step = np.arange(first, last)
            must = strict[step] & (step * instance.step_s < until_s)
            same = judged == [first, last, *must]  # what has not changed was judged already
            which = np.flatnonzero(new) if same else np.arange(len(loads))
            judged = [first, last, *must]
            load_w = self._quantile(loads[which], linear[which], variance[which], step)
            allowed_w = np.where(must, limit_w[which], soft_w[which][:, step])
            over = (load_w > allowed_w + _TOLERANCE_W).any(1)
            if over.any():
                worst = int(loads[which[over.argmax()]])
                found.append(f"{self.name(worst)} is overloaded at {plan.begin_s[state]:.0f} s")
        return found

    def _states(
        self, draw: _Draw, loads: IntArray
    ) -> Iterator[tuple[FloatArray, FloatArray, BoolArray]]:
        """Moments of the given loads in each state, and which are new since the one before."""
        share = self._shares(draw, loads)
        linear, variance = self._linear[loads], self._variance[loads]
        last = np.zeros_like(draw.linear[0]), np.zeros_like(draw.variance[0])
        for now in zip(draw.linear, draw.variance, strict=True):
            new = np.flatnonzero((now[0] != last[0]).any(1))
            linear += share[:, new] @ (now[0] - last[0])[new]
            variance += share[:, new] ** 2 @ (now[1] - last[1])[new]
            yield linear, variance, (share[:, new] != 0).any(1)
            last = now

    def _draws(self, plan: Itinerary) -> _Draw:
        """Every server that a plan changes, on the way that feeds it now and on the other one."""
        instance, network = self._instance, self._network
        drawn = self._drawn
        groups = [network.ats_servers[np.flatnonzero(network.ats == n)[0]] for n in plan.node]
        servers = np.unique(np.concatenate([plan.source, plan.target, *groups]))
        change, own_change = self._changes(plan, servers)
        full = np.hstack([drawn.mean_w, drawn.factor_w])[servers] + change
        own = drawn.variance[servers] + own_change
        there = np.zeros((len(plan.begin_s), len(servers)))  # 1 where fed by the other way
        for fed, node, to, group in zip(plan.fed.T, plan.node, plan.to, groups, strict=True):
            there[:, np.isin(servers, group)] = (fed & (to != instance.ats_source[node]))[:, None]
        moved = np.flatnonzero(there.any(0))
        here = (1 - there)[..., None] * full - (full - change)
        return _Draw(
            np.concatenate([servers, servers[moved]]),
            np.concatenate([network.way[servers], network.other[servers[moved]]]),
            np.concatenate([here, (there[..., None] * full)[:, moved]], axis=1),
            np.concatenate(
                [(1 - there) * own - (own - own_change), (there * own)[:, moved]], axis=1
            ),
        )

    def _changes(self, plan: Itinerary, servers: IntArray) -> tuple[FloatArray, FloatArray]:
        """[states, servers, H + R] and [states, servers]: what moves change of servers' draw."""
        instance = self._instance
        watts = np.hstack([instance.wl_w, instance.wl_factor_w])[plan.workload]
        sigma_w = instance.wl_sigma_w[plan.workload]
        linear = np.zeros((len(plan.begin_s), len(servers), watts.shape[1]))
        variance = np.zeros(linear.shape[:2])
        for sign, end, weight in (
            (-1, plan.source, plan.done.astype(float)),
            (1, plan.target, plan.weight(instance.double_run)),
        ):
            eff = instance.server_eff[end]
            for move, at in enumerate(np.searchsorted(servers, end)):
                drawn = weight[:, move] * eff[move]
                linear[:, at] += sign * drawn[:, None] * watts[move]
                variance[:, at] += sign * (drawn * sigma_w[move]) ** 2
        return linear, variance

    def _touched(self, draw: _Draw) -> BoolArray:
        """[loads] whether any of the draws runs through a node, or would after the loss."""
        network = self._network
        node = np.zeros(len(self._instance.node_parent), bool)
        node[network.intact.row[np.isin(network.intact.way, draw.way)]] = True
        touched: BoolArray = node[self.node]
        slot = self._slot[network.lost.row[np.isin(network.lost.way, draw.way)]]
        touched[slot[slot >= 0]] = True
        return touched

    def _shares(self, draw: _Draw, loads: IntArray) -> FloatArray:
        """[loads, draws] fraction of each draw through each load."""
        network, nodes = self._network, len(self._instance.node_parent)
        ways, at = np.unique(draw.way, return_inverse=True)
        which = np.full(network.count, -1)
        which[ways] = np.arange(len(ways))
        probe = np.zeros((2, nodes, len(ways)))
        used = np.flatnonzero(which[network.intact.way] >= 0)
        intact = network.intact.some(used)
        probe[:, intact.row, which[intact.way]] = intact.fraction.T
        full = probe[:, self.node[loads]]
        place = np.full(len(self.node), -1)
        place[loads] = np.arange(len(loads))
        slot = self._slot[network.lost.row]
        used = np.flatnonzero((which[network.lost.way] >= 0) & (slot >= 0))
        row, way = place[slot[used]], which[network.lost.way[used]]
        full[:, row, way] += network.gain[used].T
        part = network.part[draw.server]
        return np.asarray(full[0][:, at] * part[:, 0] + full[1][:, at] * part[:, 1])

    def name(self, load: int) -> str:
        """A load in words."""
        return name_of(self._instance, int(self.node[load]), self.lost(load))

    def lost(self, load: int) -> int:
        """The node that is lost, -1 = none."""
        case = int(self.case[load])
        return int(self._instance.contingency[case - 1]) if case else -1
