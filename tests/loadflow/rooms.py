"""Random rooms as site files: three-line rack PDUs in any rotation, every way of plugging in."""

import numpy as np

from wattcast_configs.power import LINES, Breaker, Electrical, Rating, Transformer, Ups, Utility
from wattcast_configs.site import Ats, Feed, Pdu, Server, Site

ROTATIONS = ("L1 L2 L3", "L2 L3 L1", "L3 L1 L2", "L1 L3 L2")
WAYS = list(LINES)


def random_site(rng):
    """Two or three feeds with their own transformer and UPS; some racks on one line only."""
    count = int(rng.integers(2, 4))
    feeds = "ABC"[:count]
    breakers, pdus, servers, switches = [], [], [], []
    for rack in range(int(rng.integers(2, 5))):
        for feed in (sides := rng.choice(list(feeds), 2, replace=False)):
            panel = f"q{rack}{feed}"
            breakers.append(Breaker(panel, feed, Rating(a=63.0)))
            three = rng.random() < 0.8
            line = "" if three else str(rng.choice(WAYS))
            pdus.append(
                Pdu(f"p{rack}{feed}", f"r{rack}", source=panel, rating=Rating(a=32.0),
                    lines=3 if three else 1, line=line, rotation=str(rng.choice(ROTATIONS)))
            )  # fmt: skip
        ways = [_ways(rng, pdu) for pdu in pdus[-2:]]
        switches.append(Ats(f"x{rack}", f"r{rack}", ways[0][0], ways[1][0],
                            rating=Rating(a=16.0)))  # fmt: skip
        count = int(rng.integers(4, 12))
        servers += [_server(rng, rack, index, ways) for index in range(count)]
        assert len(sides) == 2
    return Site(
        "random",
        tuple(Feed(f, source=f"ups{f}") for f in feeds),
        tuple(pdus),
        tuple(servers),
        tuple(switches),
        electrical=Electrical(third_harmonic=0.0),
        utility=(Utility("grid"),),
        transformer=tuple(Transformer(f"t{f}", "grid", Rating(kva=250.0)) for f in feeds),
        ups=tuple(Ups(f"ups{f}", f"t{f}", Rating(kva=100.0)) for f in feeds),
        breaker=tuple(breakers),
    )


def _ways(rng, pdu):
    """Outlets of a rack PDU, in random order."""
    if pdu.lines == 1:
        return [pdu.id] * 6
    return [f"{pdu.id}:{way}" for way in rng.permutation(WAYS)]


def _server(rng, rack, index, ways):
    kind = rng.random()
    if kind < 0.15:
        cords, shares = (f"x{rack}",), (1.0,)
    elif kind < 0.3:  # a chassis with two supplies a side, two of them needed
        cords = (ways[0][1], ways[1][1], ways[0][2], ways[1][2])
        shares = tuple(rng.dirichlet(np.full(4, 20.0)))
    elif kind < 0.4:
        cords, shares = (str(rng.choice(ways[int(rng.integers(2))])),), (1.0,)
    else:
        cords = (str(rng.choice(ways[0])), str(rng.choice(ways[1])))
        share = float(rng.choice([1.0, 0.5, rng.uniform(0.2, 0.8)]))
        shares = (share, 1 - share)
    watts = float(rng.uniform(100, 900))
    return Server(f"s{rack}-{index}", f"r{rack}", cords, shares, watts, watts,
                  needed=2 if len(cords) == 4 else 1,
                  power_factor=float(rng.uniform(0.9, 1.0)))  # fmt: skip
