"""What trips where in a site: each protected node with its curve under present circumstances."""

from functools import lru_cache

import numpy as np

from wattcast_configs.curve import Curve
from wattcast_configs.site import Site
from wattcast_coordinator.risk.cascade import Protection
from wattcast_coordinator.risk.trip import TripCurve, compiled, curve_for
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.errors import ConfigError

FEED_CURVE = "mge_galaxy_pw"  # of a feed of which only watts are known: it is taken to be a UPS


@lru_cache(maxsize=8)
def protections(graph: Graph) -> tuple[Protection, ...]:
    """Protected nodes; nodes without a known curve are judged by their limits only.

    Raises:
        ConfigError: a curve is named that neither ships nor stands in the site file.
    """
    curves = {curve.name: curve for curve in graph.site.curve}
    bypassed = {u.id for u in graph.site.ups if u.mode == "bypass"}
    out = []
    for index, node in enumerate(graph.site.nodes):
        name = node.curve or (FEED_CURVE if node.kind == "feed" and not node.sources else "")
        rating_w = graph.limits[index].rating_w
        if not name or not np.isfinite(rating_w) or (not node.curve and name not in curves):
            continue
        if name not in curves:
            raise ConfigError(
                f"{node.kind} {node.id}: curve '{name}' is not known; known:"
                f" {', '.join(sorted(curves))}"
            )
        out.append(_protection(index, rating_w, curves[name], graph.site, node.id in bypassed))
    return tuple(out)


def _protection(
    node: int,
    rating_w: float,
    curve: Curve,
    site: Site,
    on_bypass: bool,  # noqa: FBT001 - a fact
) -> Protection:
    ambient_c = site.electrical.ambient_c
    bypass = _bypass(curve, ambient_c)
    if on_bypass:  # on its bypass already: only that curve is left
        return Protection(node, rating_w, bypass or curve_for(curve, "bypass", ambient_c))
    return Protection(node, rating_w, curve_for(curve, "line", ambient_c), bypass)


def _bypass(curve: Curve, ambient_c: float) -> TripCurve | None:
    found = curve.at("bypass", ambient_c)
    return compiled(curve, found) if found else None
