"""A plan laid out in time: the states it passes through, and what is where in each."""

from dataclasses import dataclass

import numpy as np

from wattcast_coordinator.topology.instance import BoolArray, Instance, IntArray
from wattcast_core.units import FloatArray

Moves = tuple[tuple[int, int, float], ...]  # workload, server, start_s
Transfers = tuple[tuple[int, int, float], ...]  # node, source, start_s


@dataclass(frozen=True, slots=True)
class Itinerary:
    """Every state from now on; a state lasts until the next begins, the last one for good.

    Attributes:
        workload, source, target: [moves] what moves from which server to which.
        start_s, stop_s: [moves] when each begins and is complete.
        node, to: [transfers] which ATS goes to which source.
        begin_s: [states] when each state begins.
        flying, done: [states, moves] which moves are under way, and which are complete.
        fed: [states, transfers] which transfers have been made.
        end_s: when the last action is complete.
    """

    workload: IntArray
    source: IntArray
    target: IntArray
    start_s: FloatArray
    stop_s: FloatArray
    node: IntArray
    to: IntArray
    begin_s: FloatArray
    flying: BoolArray
    done: BoolArray
    fed: BoolArray
    end_s: float

    def weight(self, double_run: float) -> FloatArray:
        """[states, moves] share of its power that each workload draws at its target."""
        return np.asarray(self.done + double_run * self.flying)

    def window(self, state: int, step_s: float, steps: int) -> tuple[int, int, float]:
        """First step a state overlaps, the one after the last if it stalls a step, its end."""
        last = state + 1 == len(self.begin_s)
        until_s = steps * step_s if last else float(self.begin_s[state + 1])
        first = int(self.begin_s[state] // step_s)
        return first, min(steps, int(np.ceil(until_s / step_s)) + 1), until_s


def lay_out(instance: Instance, moves: Moves, transfers: Transfers) -> Itinerary:
    """Order what a plan does; durations follow from state and bandwidth."""
    workload = np.array([w for w, _, _ in moves], np.int64)
    start_s = np.array([at for _, _, at in moves], np.float64)
    copy_s = 1024 * instance.wl_state_gib[workload] / instance.wl_bw_mibs[workload]
    stop_s = start_s + instance.setup_s + copy_s
    fed_s = np.array([at for _, _, at in transfers], np.float64)
    begin_s = np.unique(np.concatenate([[0.0], start_s, stop_s, fed_s]))
    done = stop_s <= begin_s[:, None]
    return Itinerary(
        workload,
        instance.wl_server[workload],
        np.array([to for _, to, _ in moves], np.int64),
        start_s,
        stop_s,
        np.array([node for node, _, _ in transfers], np.int64),
        np.array([to for _, to, _ in transfers], np.int64),
        begin_s,
        (start_s <= begin_s[:, None]) & ~done,
        done,
        fed_s <= begin_s[:, None],
        float(begin_s[-1]),
    )
