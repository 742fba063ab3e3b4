from dataclasses import replace

import decision_room as room
import numpy as np

from wattcast_coordinator.topology.graph import build


def test_sources_come_before_what_they_feed():
    graph = build(room.site())
    below = graph.parent >= 0
    assert (graph.parent[below] < np.flatnonzero(below)).all()
    assert (graph.alt < np.arange(len(graph.nodes))).all()


def test_names_resolve_to_the_feeds_that_can_supply_them():
    graph = build(room.site())
    assert graph.feeds_of("r1s0") == {"B", "C"}
    assert graph.feeds_of("r2sw") == {"C", "A"}, "an ATS reaches both its sources"
    assert graph.feeds_of_node("ats0") == {"A", "B"}
    assert graph.feeds_of_node("C") == {"C"}


def test_an_equal_site_gives_the_same_graph():
    assert build(room.site()) is build(room.site())


def test_hungrier_hardware_draws_more_for_the_same_work():
    site = room.site()
    hungry = replace(site.server[0], full_w=site.server[0].idle_w + 600.0)
    graph = build(replace(site, server=(hungry, *site.server[1:])))
    assert graph.eff[0] == 2.0
    assert graph.eff[1] == 1.0
    assert graph.eff[graph.server["r0sw"]] == 1.0
