"""What an SNMP profile means on one device: rows become points, raw values get their scale. Pure.

The device is asked in two rounds: which rows its tables have (``tables``), then the number of
digits and the temperature scale its values are given in (``units_of``).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from wattcast_agent.devices.decode import Objects
from wattcast_configs.profile import Point, Profile, Repeat

NOWHERE = "1.0"  # an OID no device has
Rows = Mapping[str, int | str]  # row of a table, e.g. "1.7" -> value of its index column


def tables(profile: Profile) -> dict[str, int]:
    """Index columns of the profile's repeats, with the most rows to read of each."""
    columns: dict[str, int] = {}
    for repeat in profile.repeat:
        columns[repeat.index] = max(repeat.most, columns.get(repeat.index, 0))
    return columns


def spread(profile: Profile, rows: Mapping[str, Rows]) -> Profile:
    """The profile with a point for each row of its repeats.

    Args:
        profile: as loaded.
        rows: index column -> its rows, in the device's order.
    """
    points, acts_on = list(profile.point), []
    for repeat in profile.repeat:
        for name, row in _parts(repeat, rows.get(repeat.index, {})):
            points += [_at(point, name, row) for point in repeat.point]
            acts_on += [
                f"{name}.{p.quantity}"
                for p in repeat.point
                if f"{repeat.name}.{p.quantity}" in profile.acts_on
            ]
    known = {p.quantity for p in profile.point}
    acts_on += [quantity for quantity in profile.acts_on if quantity in known]
    return replace(profile, point=tuple(points), repeat=(), acts_on=tuple(acts_on))


def units_of(profile: Profile) -> list[str]:
    """OIDs that say how values are scaled."""
    oids = [oid for p in profile.point for oid in (p.digits_from, p.celsius_from) if oid]
    return list(dict.fromkeys(oids))


def oids_of(profile: Profile) -> list[str]:
    """The objects to ask for."""
    return list(dict.fromkeys(p.oid for p in profile.point if p.oid != NOWHERE))


def scaled(profile: Profile, units: Objects) -> Profile:
    """The profile with the device's scales.

    A point whose scale the device does not tell is asked for nowhere, so it is always missing: a
    number of unknown scale is worse than none.
    """
    return replace(profile, point=tuple(_scale(point, units) for point in profile.point))


def offered(profile: Profile, objects: Objects) -> Profile:
    """The profile without what the device does not offer and no act rests on."""
    kept = [p for p in profile.point if p.oid in objects or p.quantity in profile.acts_on]
    return replace(profile, point=tuple(kept))


def _parts(repeat: Repeat, rows: Rows) -> Iterator[tuple[str, str]]:
    """Name and row of each part."""
    wanted = [
        _cut(row, repeat.depth) for row, v in rows.items() if not repeat.only or v in repeat.only
    ]
    parts = list(dict.fromkeys(wanted))[: repeat.most]
    last = [row.rpartition(".")[2] for row in parts]
    unique = max(Counter(last).values(), default=1) == 1
    groups = _numbered(row.rpartition(".")[0] for row in parts)
    for count, (row, number) in enumerate(zip(parts, last, strict=True), 1):
        group = groups[row.rpartition(".")[0]]
        yield repeat.name.format(n=number if unique else count, l=number, g=group), row


def _cut(row: str, depth: int) -> str:
    return ".".join(row.split(".")[:depth]) if depth else row


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: count for count, name in enumerate(dict.fromkeys(names), 1)}


def _at(point: Point, name: str, row: str) -> Point:
    return replace(
        point,
        quantity=f"{name}.{point.quantity}",
        oid=point.oid.replace("{i}", row),
        digits_from=point.digits_from.replace("{i}", row),
        celsius_from=point.celsius_from.replace("{i}", row),
    )


def _scale(point: Point, units: Objects) -> Point:
    if point.digits_from:
        digits = units.get(point.digits_from)
        if not isinstance(digits, int) or not 0 <= digits <= 9:
            return replace(point, oid=NOWHERE)
        point = replace(point, scale=point.scale / 10**digits, digits_from="")
    if point.celsius_from:
        unit = units.get(point.celsius_from)
        if unit not in (point.celsius_is, point.fahrenheit_is):
            return replace(point, oid=NOWHERE)
        if unit == point.fahrenheit_is:
            point = replace(point, scale=point.scale * 5 / 9, offset=-160 / 9)
    return replace(point, celsius_from="")
