"""Line and neutral currents against an independent load flow, as the room is and after every loss.

OpenDSS solves constant power loads over cables with explicit neutrals; we add phasors up at the
measured voltage. Twenty rooms by default; WATTCAST_LOADFLOW_ROOMS=200 for the full check.
"""

import os

import numpy as np
import opendss
import pytest
import rooms
import walk

from wattcast_coordinator.risk.amperes import amperes
from wattcast_coordinator.risk.nminus import Moments
from wattcast_coordinator.topology.compiled import compile_room
from wattcast_coordinator.topology.graph import build

dss = pytest.importorskip("dss", reason="needs dss_python: pip install 'wattcast[loadflow]'").dss

ROOMS = int(os.environ.get("WATTCAST_LOADFLOW_ROOMS", "20"))
NEAR_A = 0.05  # of currents this small only the difference counts


def plugged(graph, network, dead, servers):
    """(node, watts, var) of what each way of being plugged in carries, by the naive walk."""
    out = {}
    for row, server in enumerate(graph.site.server):
        var = servers[row] * np.tan(np.arccos(server.power_factor))
        for cord, share in walk.cord_fractions(network, dead, row).items():
            way = walk.way_up(network, dead, int(network.cord[row, cord]))
            at = next(n for n in way if graph.words[n] in ("phase", "rack PDU"))
            watts = out.setdefault(graph.nodes[at], np.zeros(2))
            watts += share * np.array([servers[row], var])
    return [(name, *watts) for name, watts in out.items()]


def mean_volts(graph, network, dead, volts):
    """[N] mean volts of the loads behind each node, as meters at the racks would tell."""
    total, count = np.zeros(len(network)), np.zeros(len(network))
    for name, value in volts.items():
        for node in walk.way_up(network, dead, graph.node[name]):
            total[node] += value
            count[node] += 1
    return np.where(count > 0, total / np.maximum(count, 1), opendss.VOLT)


def ours(room, servers, case, volts):
    """Node name -> (amperes of its lines, of its neutral) in a case."""
    values = Moments(servers[:, None], np.zeros(len(servers)), np.ones(1))
    found = amperes(room, values, (0.0, 0.0), volts, every=True)
    return {
        room.graph.nodes[node]: (line[:, 0], neutral[0])
        for at, node, line, neutral in zip(
            found.case, found.node, found.line_a, found.neutral_a, strict=True
        )
        if at == case
    }


def check_case(room, servers, case, dead):
    graph, network = room.graph, room.matrices.network
    loads = plugged(graph, network, dead, servers)
    reference, volts = opendss.solve(dss, graph.site, loads)
    measured = mean_volts(graph, network, dead, volts)
    found = ours(room, servers, case, measured)
    worst = 0.0
    for name, (lines, neutral) in reference.items():
        if graph.node[name] in dead or name not in found:
            continue
        own, own_neutral = found[name]
        for expected, value in (*zip(lines, own, strict=False), (neutral, own_neutral)):
            error = abs(value - expected) - NEAR_A
            worst = max(worst, error / max(expected, NEAR_A))
    return worst


@pytest.mark.parametrize("seed", range(ROOMS))
def test_currents_agree_with_the_load_flow_within_one_percent(seed):
    rng = np.random.default_rng(seed)
    graph = build(rooms.random_site(rng))
    source = np.zeros(len(graph.nodes), np.int64)
    room = compile_room(graph, (), source)
    servers = graph.full_w
    assert check_case(room, servers, 0, set()) <= 0.01
    for case, contingency in enumerate(room.contingencies, 1):
        dead = {int(node) for node in contingency.nodes(graph)}
        if "grid" not in contingency.lose:
            gone = {n for n in range(len(graph.nodes))
                    if not walk.is_live(room.matrices.network, dead, n)}  # fmt: skip
            assert check_case(room, servers, case, gone) <= 0.01, contingency.id
