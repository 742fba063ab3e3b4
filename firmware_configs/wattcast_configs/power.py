"""Power equipment of a room as its site file describes it, with every limit and its source."""

import math
from dataclasses import dataclass

import numpy as np

from wattcast_core.errors import ConfigError

LINES = {"L1": 0, "L2": 1, "L3": 2, "L1-L2": 3, "L2-L3": 4, "L3-L1": 5}


@dataclass(frozen=True, slots=True)
class Derate:
    """A factor on a rating: ambient temperature, grouping, altitude.

    Attributes:
        source: document and place.
        factor: above 0, at most 1.
        by_ambient: (degC, factor) by rising air temperature, straight lines between; below the
            first one it holds, above the last one nothing is known. It comes on top of ``factor``.
    """

    source: str
    factor: float = 1.0
    by_ambient: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        temperatures = [celsius for celsius, _ in self.by_ambient]
        if temperatures != sorted(set(temperatures)):
            raise ConfigError("derate: by_ambient must rise in temperature")
        for factor in (self.factor, *(factor for _, factor in self.by_ambient)):
            if not 0 < factor <= 1:
                raise ConfigError(f"derate factor {factor} is not within 0..1")
        if not self.by_ambient and self.factor == 1:
            raise ConfigError("derate: give a factor below 1, or by_ambient")

    @property
    def to_c(self) -> float:
        """Highest air temperature that it knows of."""
        return self.by_ambient[-1][0] if self.by_ambient else math.inf

    def at(self, ambient_c: float) -> float:
        """The factor at an air temperature.

        Raises:
            ConfigError: hotter than it knows of.
        """
        if not self.by_ambient:
            return self.factor
        if ambient_c > self.to_c:
            raise ConfigError(
                f"ambient_c is {ambient_c:g}, and {self.source} ends at {self.to_c:g} C"
            )
        temperature, factor = zip(*self.by_ambient, strict=True)
        return self.factor * float(np.interp(ambient_c, temperature, factor))


@dataclass(frozen=True, slots=True)
class Rating:
    """What equipment bears; at least one of ``a``, ``kva`` and ``kw``.

    Attributes:
        a: amperes a line; ``neutral_a``: of the neutral (as a line if 0).
        kva, kw: apparent and active power.
        standard: ``nec`` (80 % continuously) or ``iec`` (all of it); as the site if empty.
        continuous: share borne continuously, if the standard's is not meant (e.g. 1.0 for a
            breaker marked for 100 %).
        emergency: share borne while a loss stands; ``emergency_s``: for how long (0 = for ever).
        derate: factors on the rating, each with its source.
        source: nameplate or document.
    """

    a: float = 0.0
    neutral_a: float = 0.0
    kva: float = 0.0
    kw: float = 0.0
    standard: str = ""
    continuous: float = 0.0
    emergency: float = 1.0
    emergency_s: float = 0.0
    derate: tuple[Derate, ...] = ()
    source: str = "nameplate"

    def __post_init__(self) -> None:
        if not (self.a > 0 or self.kva > 0 or self.kw > 0):
            raise ConfigError("rating: give a (amperes), kva or kw, greater than 0")
        if self.standard not in ("", "nec", "iec"):
            raise ConfigError(f"rating: standard '{self.standard}' is neither 'nec' nor 'iec'")


@dataclass(frozen=True, slots=True)
class Electrical:
    """What holds for the whole site.

    Attributes:
        standard: ``iec`` or ``nec``.
        voltage_v: nominal, line to neutral; line to line is root 3 times that.
        lowest: lowest permitted voltage over nominal, for limits: at it the same watts draw most
            amperes. IEC 60038 permits 0.9, ANSI C84.1 range A 0.95 at the service.
        power_factor: lowest true power factor of the servers where none is stated.
        third_harmonic: third-harmonic over fundamental current of line-to-neutral loads; triplen
            currents of the three lines add up in the neutral.
        ambient_c: air temperature at the equipment, for derating and trip curves.
    """

    standard: str = "iec"
    voltage_v: float = 230.0
    lowest: float = 0.9
    power_factor: float = 0.95
    third_harmonic: float = 0.1
    ambient_c: float = 25.0


@dataclass(frozen=True, slots=True)
class Utility:
    """A utility service with its meter; a root."""

    id: str
    rating: Rating | None = None
    price_per_kwh: float = 0.2
    carbon_g_per_kwh: float = 300.0


@dataclass(frozen=True, slots=True)
class Generator:
    """A generator; a root that runs only when a board falls back on it.

    Attributes:
        start_s: until it can take load (NFPA 110 type 10: 10 s).
        step_kw: largest load it takes in one step; 0 = not known, not judged.
        price_per_kwh: of its energy.
    """

    id: str
    rating: Rating
    start_s: float = 10.0
    step_kw: float = 0.0
    price_per_kwh: float = 0.4


@dataclass(frozen=True, slots=True)
class Transformer:
    """A transformer; ``efficiency`` at full load."""

    id: str
    source: str
    rating: Rating
    efficiency: float = 1.0


@dataclass(frozen=True, slots=True)
class Board:
    """A switchboard or busbar.

    Attributes:
        alternative: source that takes over when the first is gone (e.g. a generator).
        other_w: load besides the servers (cooling, lights), counted here and upstream.
    """

    id: str
    source: str
    alternative: str = ""
    rating: Rating | None = None
    other_w: float = 0.0


@dataclass(frozen=True, slots=True)
class Tie:
    """A normally open bus tie that closes when one of its boards loses its sources."""

    id: str
    boards: tuple[str, str]
    rating: Rating


@dataclass(frozen=True, slots=True)
class Sts:
    """A static transfer switch upstream of racks; never commanded."""

    id: str
    source_a: str
    source_b: str
    rating: Rating
    preferred: str = "A"


@dataclass(frozen=True, slots=True)
class Ups:
    """A UPS.

    Attributes:
        modules: power modules; ``rating`` is that of all together.
        redundant: of them not needed at full rating; the loss of one more is a capacity step.
        curve: name of its trip curve.
        battery: (load over rating, seconds), from full load downwards; empty = not known.
        mode: ``line`` or ``bypass``, as it stands.
        efficiency: at full load.
        walk_in_s: over which its rectifier takes up load on a generator; 0 = in one step.
    """

    id: str
    source: str
    rating: Rating
    modules: int = 1
    redundant: int = 0
    curve: str = ""
    battery: tuple[tuple[float, float], ...] = ()
    mode: str = "line"
    efficiency: float = 1.0
    walk_in_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """A circuit breaker.

    Attributes:
        lines: 3, or 1 between two of the source's lines or one and neutral: ``line``.
        curve: name of its trip curve.
    """

    id: str
    source: str
    rating: Rating
    lines: int = 3
    line: str = ""
    curve: str = ""


@dataclass(frozen=True, slots=True)
class Bank:
    """A group of outlets behind one breaker of a rack PDU; cords name it ``pdu:bank``."""

    id: str
    line: str
    rating: Rating
    curve: str = ""


@dataclass(frozen=True, slots=True)
class Rack:
    """A rack; ``cooling_w`` is the heat that can be taken away from it (0 = not known)."""

    id: str
    row: str = ""
    cooling_w: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A row of racks with its share of the cooling."""

    id: str
    cooling_w: float


@dataclass(frozen=True, slots=True)
class CommonMode:
    """Things that are lost together: one cause, several losses."""

    id: str
    lose: tuple[str, ...]
    why: str = ""
