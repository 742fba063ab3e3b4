"""One reading of a device family: where it stands and what it means."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from wattcast_configs.place import Certainty, Place, check_oid, known
from wattcast_core.errors import ConfigError
from wattcast_core.points import QUANTITIES, STATES, words_of


@dataclass(frozen=True, slots=True)
class Point(Place):
    """One reading: value = scale * raw + offset, or a word where it is a state.

    Attributes:
        quantity: its name (see ``wattcast_core.points``): ``outlet.7.power_w``; in a repeat
            without the part: ``power_w``.
        minimum: lowest believable value (after scaling); outside is invalid.
        maximum: highest believable value (after scaling).
        digits_from: OID of the number of decimal digits: value = raw / 10^digits.
        celsius_from: OID that says which scale a temperature is given in; a device that says
            neither ``celsius_is`` nor ``fahrenheit_is`` has no temperature.
        celsius_up_to: up to there a device without ``celsius_from`` is taken to mean Celsius,
            because in Fahrenheit it would be frost; 0 = it has no temperature then.
        invalid: raw values by which the device says "not available".
        state_from: OID that says whether the value means anything; it does not where that shows
            one of ``state_invalid``.
        map: raw value (as text) -> word of the state; any other raw value is invalid.
        has: the state is ``yes`` where this word stands in the raw text, else ``no``.
        row_of: the raw value names a row of this index (see ``Repeat``): the first is A, the
            second B.
        alarm: word of the state -> what is wrong with the device then, for an operator.
        certainty: A, B or C of the register facts; empty = the profile's.
        template: not written in a profile: name before its repeat was spread.
    """

    quantity: str
    minimum: float = -math.inf
    maximum: float = math.inf
    scale: float = 1.0
    offset: float = 0.0
    digits_from: str = ""
    celsius_from: str = ""
    celsius_is: int = 0
    fahrenheit_is: int = -1
    celsius_up_to: float = 0.0
    invalid: tuple[int, ...] = ()
    state_from: str = ""
    state_invalid: tuple[int, ...] = ()
    map: Mapping[str, str] = field(default_factory=dict)
    has: str = ""
    row_of: str = ""
    alarm: Mapping[str, str] = field(default_factory=dict)
    certainty: Certainty = ""
    template: str = ""

    def __post_init__(self) -> None:
        place = f"point {self.quantity}"
        known(self.quantity.rpartition(".")[2], (*QUANTITIES, *STATES), "point.quantity")
        known(self.certainty, get_args(Certainty), f"{place}.certainty")
        self._check_words(place)
        if not self.minimum < self.maximum or self.scale == 0:
            raise ConfigError(f"{place}: minimum must be below maximum, scale not 0")
        self.check_place(place)
        if self.type.startswith("str"):
            raise ConfigError(f"{place}.type: text is no quantity; use a number type")
        for oid in filter(None, (self.digits_from, self.celsius_from, self.state_from)):
            check_oid(oid, place)
        if bool(self.state_from) != bool(self.state_invalid):
            raise ConfigError(f"{place}: state_from and state_invalid belong together")

    def _check_words(self, place: str) -> None:
        words = words_of(self.quantity)
        if bool(words) != bool(self.map or self.has or self.row_of):
            raise ConfigError(f"{place}: a state needs a map of raw values to words, others none")
        for word in (*self.map.values(), *self.alarm):
            known(word, words, f"{place}.map")


@dataclass(frozen=True, slots=True)
class Repeat:
    """Points that come once a row of a table; the rows are read from the device at start.

    Attributes:
        name: of the part, e.g. ``outlet.{n}`` or ``inlet.{g}.L{l}``. ``{l}`` is the last number of
            the row, ``{c}`` the count of the row, ``{n}`` is ``{l}`` if that is unique, else
            ``{c}``; ``{f}`` counts on from the repeats before that have the same name, ``{s}`` is
            the count as A or B; ``{g}`` counts the groups of rows that share all numbers but the
            last; ``{u}`` is the unit of the row, ``{k}`` its count in that unit; ``{v}`` is what
            ``labels`` or ``rows`` say of it.
        alone: name of the part where there is one only.
        index: SNMP: column that has exactly the rows wanted; NUT, Redfish: what the names of a
            row begin with, ``{i}`` for the row; without it one name that is there or not.
        depth: numbers of a row that make the part, 0 = all (tables with a row a part and kind).
        only: rows whose value in the index has one of these; empty = all.
        excludes: rows whose value in the index has none of these.
        labels: value in the index -> ``{v}``, which may hold ``{l}`` and ``{c}``; that of "" is
            for any other value, else its rows are left out.
        rows: last number of the row -> ``{v}``; other rows are left out.
        unit: SNMP: column with the number of the unit that a row belongs to, where several are
            chained; a device without it is unit 1.
        unless: left out where this index has rows: the same readings come from there.
        most: more rows than that are not read.
        count_at: Modbus: holding register with the number of rows.
        stride: Modbus: registers from one row to the next.
        highest: point of a row -> name of the highest of all rows, which a limit a row is
            compared with; where there is one row, that is its only name.
        point: as in the profile; ``{i}`` stands for the row, ``{p}`` for all its numbers but
            the last.
    """

    name: str
    point: tuple[Point, ...]
    index: str = ""
    depth: int = 0
    only: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)
    unless: str = ""
    alone: str = ""
    unit: str = ""
    most: int = 128
    count_at: int = -1
    stride: int = 0
    highest: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.search(r"\{[nlcfsgukv]\}", self.name) and self.most != 1:
            raise ConfigError(f"repeat {self.name}: the name needs '{{n}}', or most = 1")
        if bool(self.index) == (self.count_at >= 0):
            raise ConfigError(f"repeat {self.name}: give index, or count_at for Modbus")
        if self.count_at >= 0 and not self.stride and self.most != 1:
            raise ConfigError(f"repeat {self.name}: give stride, or most = 1")
        for name in self.highest:
            known(name, [p.quantity for p in self.point], f"repeat {self.name}.highest")
        if self.unit:
            check_oid(self.unit, f"repeat {self.name}.unit")
        for point in self.point:
            if ("{i}" in self.index or point.oid) and "{i}" not in point.key:
                raise ConfigError(f"repeat {self.name}: {point.quantity} needs '{{i}}' in its oid")
            if point.oid:
                check_oid(self.index, f"repeat {self.name}.index")
