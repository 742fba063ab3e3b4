"""What people ask about a room, as changes to a recording: lose, add, ambient."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from statistics import median

from wattcast_configs.site import Server, Site
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.risk.protect import FEED_CURVE
from wattcast_coordinator.study.judged import resolve
from wattcast_coordinator.study.recording import Recording
from wattcast_coordinator.topology.graph import Graph
from wattcast_core.errors import ConfigError, Refused
from wattcast_core.forecast import QUANTILES, Forecast, Kind
from wattcast_core.signature import FEATURES

_LOSE = re.compile(r"lose\s+(?P<nodes>.+)", re.IGNORECASE)
_AND = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+", re.IGNORECASE)
_ADD = re.compile(
    r"add\s+(?P<count>\d+)\s+servers?\s+to\s+(?:rack\s+)?(?P<rack>\S+)", re.IGNORECASE
)
_AMBIENT = re.compile(r"ambient\s+(?P<celsius>-?\d+(?:\.\d+)?)\s*(?:°?\s*C)?", re.IGNORECASE)
_MOST = 10_000  # servers added at a time
_AIR_C = (-20.0, 80.0)  # what can be meant
_INLET = FEATURES.index("inlet_temperature_c")


@dataclass(frozen=True, slots=True)
class Lose:
    """A node goes dark: ``lose feed A``."""

    node: str


@dataclass(frozen=True, slots=True)
class Add:
    """Servers like those that stand there: ``add 20 servers to rack 7``."""

    count: int
    rack: str


@dataclass(frozen=True, slots=True)
class Ambient:
    """Air at the equipment gets warmer or colder: ``ambient 38``."""

    celsius: float


Change = Lose | Add | Ambient


def parse(text: str, graph: Graph) -> tuple[Change, ...]:
    """Changes from words; ``lose feed A and UPS-B`` are two.

    Raises:
        ConfigError: not understood, or it names what the site does not have.
    """
    words = text.strip()
    try:
        if found := _LOSE.fullmatch(words):
            names = _lost(found["nodes"].strip(), graph)
            return tuple(Lose(resolve(name, graph)) for name in names)
        return (_other(words, graph),)
    except ConfigError as error:
        raise ConfigError(f"--what-if '{text}': {error}") from error


def _lost(words: str, graph: Graph) -> tuple[str, ...]:
    """Names in a list; a node whose own name reads like a list is that node."""
    return (words,) if words in graph.node else tuple(filter(None, _AND.split(words)))


def _other(words: str, graph: Graph) -> Change:
    if found := _ADD.fullmatch(words):
        count = int(found["count"])
        if not 0 < count <= _MOST:
            raise ConfigError(f"add 1 to {_MOST} servers")
        return Add(count, _rack(found["rack"], graph))
    if found := _AMBIENT.fullmatch(words):
        celsius = float(found["celsius"])
        if not _AIR_C[0] <= celsius <= _AIR_C[1]:
            raise ConfigError(f"{celsius:g} C is no air temperature of a room")
        return Ambient(celsius)
    raise ConfigError(
        "not understood; say e.g. 'lose feed A', 'lose feed A and UPS-B', 'add 20 servers to"
        " rack 7' or 'ambient 38'"
    )


def warmer(recording: Recording, ambient: Ambient) -> Recording:
    """At another air temperature: ratings, trip curves and the racks' cooling change with it.

    Raises:
        Refused: the site file says nothing of other temperatures, or nothing of one so high.
    """
    site, celsius = recording.site, ambient.celsius
    derates = [d for node in site.nodes if node.rating for d in node.rating.derate if d.by_ambient]
    used = {node.curve or FEED_CURVE for node in site.nodes if node.curve or not node.sources}
    curves = [curve for curve in site.curve if curve.name in used and curve.knows_ambient]
    if not derates and not curves and not any(rack.cooling_w for rack in site.rack):
        raise Refused(
            f"ambient {celsius:g}: nothing in the site file says what equipment bears at another"
            " temperature; remedy: give ratings a derate with by_ambient (from the maker's table),"
            " feeds or breakers a curve with variants by ambient_to_c, or racks their cooling_w"
        )
    for derate in derates:
        if celsius > derate.to_c:
            raise Refused(
                f"ambient {celsius:g}: {derate.source} ends at {derate.to_c:g} C; beyond it nobody"
                " promises anything"
            )
    hot = replace(site, electrical=replace(site.electrical, ambient_c=celsius))
    signatures = {
        server: replace(signature, values=_with_inlet(signature.values, celsius))
        for server, signature in recording.inputs.signatures.items()
    }
    return replace(recording, site=hot, inputs=replace(recording.inputs, signatures=signatures))


def _with_inlet(values: tuple[float, ...], celsius: float) -> tuple[float, ...]:
    return (*values[:_INLET], celsius, *values[_INLET + 1 :])


def extended(recording: Recording, add: Add, *, like_neighbours: bool) -> Recording:
    """With more servers in a rack, wired as those that stand there, in turn.

    Args:
        recording: the room.
        add: how many and where.
        like_neighbours: loaded as the rack's servers are; else at full power all the time.

    Raises:
        Refused: the rack has no server to take as a pattern.
    """
    site = recording.site
    here = [s for s in site.server if s.rack == add.rack]
    if not here:
        raise Refused(f"rack {add.rack} has no server whose wiring new ones could take")
    new = tuple(_like(here, k, f"new-{k + 1}") for k in range(add.count))
    forecasts = dict(recording.inputs.forecasts)
    for server in new:
        forecasts[server.id] = _forecast(recording.inputs, here, server, like=like_neighbours)
    return replace(
        recording,
        site=_with(site, new),
        inputs=replace(recording.inputs, forecasts=forecasts),
    )


def _with(site: Site, new: tuple[Server, ...]) -> Site:
    return replace(site, server=(*site.server, *new))


def _like(here: list[Server], index: int, name: str) -> Server:
    """Wired as the rack's servers in turn, of the rack's usual size."""
    pattern = here[index % len(here)]
    usual = Counter((s.cpu, s.mem_gib) for s in here if s.full_w > s.idle_w).most_common(1)
    cpu, mem_gib = usual[0][0] if usual else (pattern.cpu, pattern.mem_gib)
    return replace(
        pattern,
        id=name,
        idle_w=median(s.idle_w for s in here),
        full_w=max(s.full_w for s in here),
        cpu=cpu,
        mem_gib=mem_gib,
        engine="",
    )


def _forecast(inputs: Inputs, here: list[Server], server: Server, *, like: bool) -> Forecast:
    known = [inputs.forecasts[s.id] for s in here if s.id in inputs.forecasts]
    steps = max((len(f.quantiles_w) for f in known), default=1)
    step_s = known[0].step_s if known else 300.0
    full = tuple((server.full_w,) * len(QUANTILES) for _ in range(steps))
    rows = full
    if like and known:
        same = [f.quantiles_w for f in known if len(f.quantiles_w) == steps]
        rows = tuple(
            tuple(sum(f[h][q] for f in same) / len(same) for q in range(len(QUANTILES)))
            for h in range(steps)
        )
    return Forecast(server.id, inputs.now, step_s, rows, Kind.NAIVE, "supposed", "supposed", 0.0)


def _rack(name: str, graph: Graph) -> str:
    """The rack of that name; ``7`` finds ``rack-7`` or ``r7`` where only one such exists."""
    if name in graph.racks:
        return name
    alike = [rack for rack in graph.racks if re.sub(r"^(rack|r)?[-_ ]?", "", rack.lower()) == name]
    if len(alike) != 1:
        known = ", ".join(graph.racks[:20])
        raise ConfigError(f"rack '{name}' is not in the site; known: {known}")
    return alike[0]
