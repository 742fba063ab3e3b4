"""What people ask about a room, as changes to a recording: lose, add, ambient."""

import math
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

_LOSE = re.compile(r"lose\s+(?P<node>.+)", re.IGNORECASE)
_ADD = re.compile(
    r"add\s+(?P<count>\d+)\s+servers?\s+to\s+(?:rack\s+)?(?P<rack>\S+)", re.IGNORECASE
)
_AMBIENT = re.compile(r"ambient\s+(?P<celsius>-?\d+(?:\.\d+)?)\s*(?:°?\s*C)?", re.IGNORECASE)
_MOST = 10_000  # servers added at a time


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


def parse(text: str, graph: Graph) -> Change:
    """A change from words.

    Raises:
        ConfigError: not understood, or it names what the site does not have.
    """
    words = text.strip()
    if found := _LOSE.fullmatch(words):
        return Lose(resolve(found["node"].strip(), graph))
    if found := _ADD.fullmatch(words):
        count = int(found["count"])
        if not 0 < count <= _MOST:
            raise ConfigError(f"--what-if '{text}': add 1 to {_MOST} servers")
        return Add(count, _rack(found["rack"], graph))
    if found := _AMBIENT.fullmatch(words):
        return Ambient(float(found["celsius"]))
    raise ConfigError(
        f"--what-if '{text}' is not understood; say e.g. 'lose feed A', 'add 20 servers to rack 7'"
        " or 'ambient 38'"
    )


def warmer(recording: Recording, ambient: Ambient) -> Recording:
    """At another air temperature: trip curves change with it, as far as the site file knows.

    Raises:
        Refused: no protection of the site has figures for different temperatures.
    """
    site = recording.site
    used = {node.curve or FEED_CURVE for node in site.nodes if node.curve or not node.sources}
    curves = [c for c in site.curve if c.name in used]
    known = [c for c in curves if any(math.isfinite(v.ambient_to_c) and v.ambient_to_c < 1000
                                      for v in c.variant)]  # fmt: skip
    if not known:
        raise Refused(
            f"ambient {ambient.celsius:g}: nothing in the site file says how equipment bears less"
            " at another temperature (no trip curve in use has variants with 'ambient_to_c', and a"
            " rating's 'derate' is a fixed factor); remedy: give feeds or breakers a curve with"
            " such variants, or set the derate factors of that temperature and ask again"
        )
    hot = replace(site, electrical=replace(site.electrical, ambient_c=ambient.celsius))
    return replace(recording, site=hot)


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
