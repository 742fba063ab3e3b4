"""Seeded rooms of any size for the N-1 benchmark: two utilities down to the phases of rack PDUs.

Each feed has a transformer, a generator, a board that takes either, and a UPS; below it panels of
twelve racks. A rack of forty servers hangs on two feeds; one server in eight on one cord behind
the rack's ATS. Limits are a little above the worst single loss, as in a room that is N-1 secure.
"""

from dataclasses import dataclass, field

import numpy as np

from wattcast_coordinator.risk.nminus import Limits, Moments
from wattcast_coordinator.topology.network import Network

RACK, PANEL_RACKS, STEPS, FACTORS = 40, 12, 12, 4
Z_BASE, Z_N1 = 2.326, 1.2816


@dataclass
class _Nodes:
    parent: list[int] = field(default_factory=list)
    alt: list[int] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)

    def add(self, kind: str, parent: int = -1, alt: int = -1) -> int:
        self.parent.append(parent)
        self.alt.append(alt)
        self.kind.append(kind)
        return len(self.parent) - 1


def network(servers: int, feeds: int, rng: np.random.Generator) -> tuple[Network, list[str]]:
    """The room, and the kind of each node."""
    nodes = _Nodes()
    utilities = [nodes.add("utility") for _ in range(2)]
    supply = []
    for feed in range(feeds):
        transformer = nodes.add("transformer", utilities[feed % 2])
        board = nodes.add("board", transformer, nodes.add("generator"))
        supply.append(nodes.add("feed", nodes.add("ups", board)))
    racks = -(-servers // RACK)
    panels: dict[int, tuple[int, int]] = {}
    leaf = np.zeros((racks, 2, 3), np.int64)
    for number in range(racks):
        first = number % feeds
        second = (first + 1 + (number // feeds) % (feeds - 1)) % feeds
        for cord, feed in enumerate((first, second)):
            panel, hung = panels.get(feed, (-1, PANEL_RACKS))
            if hung == PANEL_RACKS:
                panel, hung = nodes.add("panel", supply[feed]), 0
            panels[feed] = (panel, hung + 1)
            pdu = nodes.add("rack PDU", panel)
            leaf[number, cord] = [nodes.add("phase", pdu) for _ in range(3)]
    ats = np.array(  # [rack, line]
        [[nodes.add("ATS", int(a), int(b)) for a, b in zip(*pair, strict=True)] for pair in leaf]
    )
    rack, line = np.arange(servers) // RACK, np.arange(servers) % 3
    share = rng.uniform(0.3, 0.7, servers)
    share[rng.random(servers) < 0.1] = 1.0  # hot standby
    cords = leaf[rack, :, line]
    shares = np.stack([share, 1 - share], axis=1)
    single = rng.random(servers) < 1 / 8
    cords[single] = np.stack([ats[rack, line], np.full(servers, -1)], axis=1)[single]
    shares[single] = (1, 0)
    alt = np.array(nodes.alt)
    rack_ats = np.array([kind == "ATS" for kind in nodes.kind])
    source = np.where(rack_ats, rng.integers(0, 2, len(alt)), 0)
    needed = np.ones(servers, np.int64)
    return Network(np.array(nodes.parent), alt, source, cords, shares, needed), nodes.kind


def forecasts(servers: int, rng: np.random.Generator) -> Moments:
    """Twelve applications that rise and fall, with common factors."""
    application = rng.integers(0, 12, servers)
    middle_w = 120 + rng.gamma(9, 18, servers)
    drift = np.clip((np.arange(STEPS) - rng.integers(2, 7, (12, 1))) / 5, 0, 1)
    drift = 1 + drift * rng.uniform(-0.2, 0.5, (12, 1))
    loading = np.abs(rng.normal(0, 0.05, (12, FACTORS)))
    values = np.hstack(
        [middle_w[:, None] * drift[application], middle_w[:, None] * loading[application]]
    )
    growth = np.sqrt(np.arange(1, STEPS + 1) / STEPS)
    return Moments(values, (0.1 * middle_w) ** 2, growth)


def limits(worst_base_w: np.ndarray, worst_n1_w: np.ndarray, spare: float) -> Limits:
    """Limits so far above the worst loads that the room is N-1 secure by ``spare``."""
    n1_w = worst_n1_w * (1 + spare)
    return Limits(np.maximum(worst_base_w * (1 + spare), 0.8 * n1_w), n1_w, Z_BASE, Z_N1)
