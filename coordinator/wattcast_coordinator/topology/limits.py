"""What each node may carry: amperes, and the watts that are surely within them.

Watts here are watts at the servers' plugs: what equipment upstream of a UPS loses is taken off its
limit, as is load besides the servers. Amperes become watts at the lowest permitted voltage and the
lowest power factor. Where loads hang between lines, the sum of two phasors 60 degrees apart bounds
each: ``|I12 - I31| <= sqrt(3) max(|I12|, |I31|)``. Three-line equipment is given the watts that it
bears in balance; whether the lines are balanced is judged in amperes (``lines``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from wattcast_configs.power import LINES, Derate, Electrical, Rating
from wattcast_configs.site import Feed, Pdu, Site
from wattcast_configs.wiring import Node
from wattcast_core.errors import ConfigError

_CONTINUOUS = {
    "nec": (0.8, "NEC 210.20(A), 215.3: 80 % of the rating for loads of 3 h and more"),
    "iec": (1.0, "IEC: the derated rating continuously"),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """Limits of one node.

    Attributes:
        base_w, n1_w: continuous and emergency limit, watts at the plugs; infinite = none known.
        base_a, n1_a: the same of each line; ``neutral_a`` of the neutral, at any time.
        emergency_s: how long the emergency limit is permitted; infinite = for ever.
        rating_w, rating_a: to which a trip curve refers.
        why: where the figures come from.
    """

    base_w: float = math.inf
    n1_w: float = math.inf
    base_a: float = math.inf
    n1_a: float = math.inf
    neutral_a: float = math.inf
    emergency_s: float = math.inf
    rating_w: float = math.inf
    rating_a: float = math.inf
    why: tuple[str, ...] = ()


def limits_of(site: Site) -> dict[str, Limit]:
    """Limit of every node by name."""
    out = _rated(site)
    stating: tuple[Feed | Pdu, ...] = (*site.feed, *site.pdu)
    for part in stating:
        if part.limit_w > 0:
            out[part.id] = _stricter(out[part.id], part.limit_w, part.limit_n1_w)
    for ats in site.ats:
        if ats.rating_w > 0:
            out[ats.id] = _stricter(out[ats.id], ats.rating_w, ats.rating_w)
    for feed in site.feed:
        if feed.source and not feed.limit_w and not feed.rating:
            above = out[feed.source]
            watts = replace(above, base_a=math.inf, n1_a=math.inf, neutral_a=math.inf)
            out[feed.id] = replace(watts, why=(f"as {feed.source}",))
    return _at_the_plugs(site, out)


def _rated(site: Site) -> dict[str, Limit]:
    """Limits by ratings alone."""
    nodes = {node.id: node for node in site.nodes}
    plugged: dict[str, set[str]] = {}
    for node in site.nodes:
        if node.kind == "phase":
            plugged.setdefault(node.sources[0], set()).add(node.line)
    out = {}
    for node in site.nodes:
        if node.kind == "phase":
            out[node.id] = _of_phase(node, nodes[node.sources[0]], plugged[node.sources[0]], site)
        else:
            out[node.id] = _of_rating(node, site)
    return out


def _stricter(one: Limit, base_w: float, n1_w: float) -> Limit:
    """With limits that the site file states in watts; a curve then refers to the emergency one."""
    return replace(
        one,
        base_w=min(one.base_w, base_w),
        n1_w=min(one.n1_w, n1_w),
        rating_w=min(one.rating_w, n1_w),
        why=("limits in watts as stated", *one.why),
    )


def _of_rating(node: Node, site: Site) -> Limit:
    if node.rating is None:
        return Limit()
    rating, electrical = node.rating, site.electrical
    standard = rating.standard or electrical.standard
    share, clause = _CONTINUOUS[standard]
    if rating.continuous:
        share, clause = rating.continuous, f"{rating.continuous:.0%} continuously, as stated"
    factors = [_factor(d, node, electrical) for d in rating.derate]
    derate = math.prod(factors)
    rated_w = _watts(node, rating, electrical)
    bears_a = rating.a * derate if rating.a else math.inf
    emergency = (rating.emergency_s or math.inf) if standard == "iec" else _three_hours(rating)
    return Limit(
        rated_w * derate * share,
        rated_w * derate * rating.emergency,
        bears_a * share,
        bears_a * rating.emergency,
        (rating.neutral_a or rating.a) * derate if rating.a else math.inf,
        emergency,
        rated_w * derate,
        bears_a,
        (
            rating.source,
            clause,
            *(f"x {f:.3g}: {d.source}" for f, d in zip(factors, rating.derate, strict=True)),
            *_emergency(rating.emergency, emergency),
        ),
    )


def _factor(derate: Derate, node: Node, electrical: Electrical) -> float:
    try:
        return derate.at(electrical.ambient_c)
    except ConfigError as error:
        raise ConfigError(f"{node.kind} {node.id}: rating: derate: {error}") from error


def _emergency(share: float, for_s: float) -> tuple[str, ...]:
    if share == 1 and math.isinf(for_s):
        return ()
    return (f"x {share:g} while a loss stands, for {for_s / 3600:g} h",)


def _three_hours(rating: Rating) -> float:
    """NEC article 100: a load of three hours or more is continuous."""
    return rating.emergency_s or 3 * 3600.0


def _watts(node: Node, rating: Rating, electrical: Electrical) -> float:
    """Watts that are surely within the rating."""
    known = [rating.kw * 1000] if rating.kw else []
    if rating.kva:
        known.append(rating.kva * 1000 * electrical.power_factor)
    if rating.a:
        known.append(rating.a * _volts(node, electrical) * electrical.power_factor)
    return min(known)


def _volts(node: Node, electrical: Electrical) -> float:
    """Watts an ampere at power factor 1 and the lowest permitted voltage."""
    volts = electrical.voltage_v * electrical.lowest
    if node.lines == 3:
        return 3 * volts
    return volts * math.sqrt(3) if LINES.get(node.line, 0) > 2 else volts


def _of_phase(node: Node, above: Node, ways: set[str], site: Site) -> Limit:
    """A way of being plugged into three-line equipment: as much as keeps its lines."""
    if above.rating is None or not above.rating.a:
        return Limit()
    whole = _of_rating(above, site)
    between = {way for way in ways if LINES[way] > 2}
    watts_a = _volts(node, site.electrical) * site.electrical.power_factor
    why = f"lines of {above.id}"
    if node.line in between:
        watts_a /= math.sqrt(3) if len(between) > 1 else 1.0
        why += ", two phasors 60 degrees apart" if len(between) > 1 else ""
    if between and between != ways:
        watts_a /= 2
        why += ", half each for loads between lines and to neutral"
    return Limit(
        whole.base_a * watts_a, whole.n1_a * watts_a, why=(why,), rating_w=whole.rating_a * watts_a
    )


def _at_the_plugs(site: Site, limits: Mapping[str, Limit]) -> dict[str, Limit]:
    """Take losses and other loads below each node off its limits."""
    efficiency = {node.id: 1.0 for node in site.nodes}
    other_w = {node.id: node.other_w for node in site.nodes}
    for node in reversed(site.nodes):
        for source in node.sources:
            efficiency[source] = min(efficiency[source], efficiency[node.id] * node.efficiency)
            other_w[source] += other_w[node.id]
    out = dict(limits)
    for name, limit in limits.items():
        share, taken_w = efficiency[name], other_w[name]
        if math.isinf(limit.base_w):
            continue
        out[name] = replace(
            limit,
            base_w=_less(limit.base_w, share, taken_w),
            n1_w=_less(limit.n1_w, share, taken_w),
            rating_w=_less(limit.rating_w, share, taken_w),
            why=(
                *limit.why,
                *((f"x {share:g}: losses below it",) if share < 1 else ()),
                *((f"less {taken_w:.0f} W of other load",) if taken_w else ()),
            ),
        )
    return out


def _less(limit_w: float, share: float, taken_w: float) -> float:
    return max((limit_w - taken_w) * share, 0.0)
