"""What a profile means on one device: rows become points, raw values get their scale. Pure.

First it is found which rows the device has (``columns`` or ``rows_in``; ``spread``), then in which
digits and temperature scale its values are given (``units_of``, ``scaled``), then what of it all
the model offers (``offered``).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from wattcast_agent.devices.decode import Objects, Raw
from wattcast_configs.profile import Command, Point, Profile, Repeat

NOWHERE = "1.0"  # an OID no device has
_SOURCES = ("A", "B")
Rows = Mapping[str, Raw]  # row of a table, e.g. "1.7" -> value of its index


def columns(profile: Profile) -> dict[str, int]:
    """SNMP: index columns of the profile's repeats, with the most rows to read of each."""
    found: dict[str, int] = {}
    for repeat in profile.repeat:
        read = ((repeat.index, repeat.most), (repeat.unit, repeat.most), (repeat.unless, 1))
        for index, most in read:
            if index:
                found[index] = max(most, found.get(index, 0))
    return found


def stand_ins(profile: Profile) -> dict[str, list[str]]:
    """SNMP: columns that have the rows of an index too, for a model that lacks the index itself.

    There are none where the values of the index choose or name the rows.
    """
    found: dict[str, list[str]] = {}
    for repeat in profile.repeat:
        if repeat.only or repeat.excludes or repeat.labels:
            continue
        oids = [p.oid for p in repeat.point if repeat.depth or p.oid.endswith("{i}")]
        found.setdefault(repeat.index, []).extend(oid.partition(".{i}")[0] for oid in oids)
    return found


def indexes(profile: Profile) -> list[str]:
    """Every index that the profile's repeats, points and commands use."""
    used = [i for r in profile.repeat for i in (r.index, r.unless)] + [
        p.row_of for p in profile.point
    ]
    used += [c.row_of for c in profile.command]
    return list(dict.fromkeys(filter(None, used)))


def rows_in(profile: Profile, objects: Objects) -> dict[str, dict[str, Raw]]:
    """NUT, Redfish: rows of every index, found by the names of the objects."""
    digits = profile.protocol == "nut"
    return {index: _rows(index, objects, digits=digits) for index in indexes(profile)}


def spread(profile: Profile, rows: Mapping[str, Rows]) -> Profile:
    """The profile with a point for each row of its repeats; of two with one name the first.

    A reading of its own comes before the highest of others.

    Args:
        profile: as loaded.
        rows: index -> its rows, in the device's order; of a Modbus repeat the key is its name.
    """
    points = [_named(point, rows) for point in profile.point]
    acts_on = [name for name in profile.acts_on if name in {p.quantity for p in points}]
    highest = dict(profile.highest)
    counted: Counter[str] = Counter()
    for repeat in profile.repeat:
        double = bool(rows.get(repeat.unless))
        parts = [] if double else list(_parts(repeat, rows, counted[repeat.name]))
        counted[repeat.name] += len(parts)
        for name, row in parts:
            points += [_at(point, repeat, name, row) for point in repeat.point]
            acts_on += [
                f"{name}.{p.quantity}"
                for p in repeat.point
                if f"{repeat.name}.{p.quantity}" in profile.acts_on
            ]
        for quantity, name in repeat.highest.items():
            highest[name] = tuple(f"{part}.{quantity}" for part, _ in parts)
    told = {p.quantity for p in points}
    return _renamed(
        replace(
            profile,
            point=tuple({p.quantity: p for p in reversed(points)}.values())[::-1],
            repeat=(),
            acts_on=(*acts_on, *(n for n in profile.acts_on if n in highest)),
            highest={n: parts for n, parts in highest.items() if parts and n not in told},
            command=tuple(_argued(c, rows) for c in profile.command),
        )
    )


def units_of(profile: Profile) -> list[str]:
    """OIDs that say how values are scaled."""
    oids = [oid for p in profile.point for oid in (p.digits_from, p.celsius_from) if oid]
    return list(dict.fromkeys(oids))


def places_of(profile: Profile) -> list[str]:
    """Redfish, BACnet: everything the profile looks at, with ``{i}`` for any row."""
    places = [*profile.point, *profile.probe, *(p for r in profile.repeat for p in r.point)]
    keys = [place.key for place in places]
    if profile.protocol == "redfish":
        keys += [f"{index}/Id" for index in indexes(profile)]
    return list(dict.fromkeys(keys))


def keys_of(points: Iterable[Point]) -> list[str]:
    """The objects to ask for."""
    keys = [key for p in points if p.key != NOWHERE for key in (p.key, p.state_from) if key]
    return list(dict.fromkeys(keys))


def scaled(profile: Profile, units: Objects) -> Profile:
    """The profile with the device's scales.

    A point whose scale the device does not tell is asked for nowhere, so it is always missing: a
    number of unknown scale is worse than none.
    """
    return replace(profile, point=tuple(_scale(point, units) for point in profile.point))


def offered(profile: Profile, objects: Objects) -> Profile:
    """The profile without what the model does not offer and no act rests on.

    A column that none of its rows has is not offered; one that some rows have is missing in the
    others.

    Args:
        profile: spread and scaled.
        objects: what the device has.
    """
    there = {p.template for p in profile.point if p.template and p.key in objects}
    kept = [
        p
        for p in profile.point
        if p.key in objects or p.quantity in profile.acts_on or p.template in there
    ]
    names = {p.quantity for p in kept}
    highest = {n: tuple(filter(names.__contains__, parts)) for n, parts in profile.highest.items()}
    return replace(
        profile,
        point=tuple(kept),
        highest={n: parts for n, parts in highest.items() if parts or n in profile.acts_on},
    )


def _rows(index: str, objects: Objects, *, digits: bool) -> dict[str, Raw]:
    pattern = re.compile(re.escape(index).replace(r"\{i\}", r"(\d+)" if digits else "([^/]+)"))
    found: dict[str, Raw] = {}
    for key, value in objects.items():
        match = pattern.match(key)
        if match:
            row, whole = match[1] if match.groups() else "1", match.end() == len(key)
            found[row] = value if whole else found.get(row, "")
    if digits:
        return dict(sorted(found.items(), key=lambda item: int(item[0])))
    return found


def _parts(repeat: Repeat, all_rows: Mapping[str, Rows], before: int) -> Iterator[tuple[str, str]]:
    """Name and row of each part; ``before`` have been counted under the same name."""
    rows, unit_of = (all_rows.get(i, {}) for i in (repeat.index or repeat.name, repeat.unit))
    values = {_cut(row, repeat.depth): str(value) for row, value in rows.items()}
    values = {row: value for row, value in values.items() if _wanted(repeat, row, value)}
    parts = list(values)[: repeat.most]
    last = [row.rpartition(".")[2] for row in parts]
    unique = max(Counter(last).values(), default=1) == 1
    groups = _numbered(row.rpartition(".")[0] for row in parts)
    form = repeat.alone if repeat.alone and len(parts) == 1 else repeat.name
    so_far: Counter[str] = Counter()
    for count, (row, number) in enumerate(zip(parts, last, strict=True), 1):
        source = _SOURCES[count - 1] if count <= len(_SOURCES) else count
        unit = str(unit_of.get(row, 1))
        so_far[unit] += 1
        names = {"n": number if unique else count, "l": number, "c": count, "s": source}
        names |= {"u": unit, "k": so_far[unit], "f": before + count}
        label = (
            repeat.labels.get(values[row]) or repeat.labels.get("") or repeat.rows.get(number, "")
        )
        yield (
            form.format(**names, g=groups[row.rpartition(".")[0]], v=label.format(**names)),
            row,
        )


def _wanted(repeat: Repeat, row: str, value: str) -> bool:
    if repeat.rows and row.rpartition(".")[2] not in repeat.rows:
        return False
    if value in repeat.excludes:
        return False
    wanted = repeat.only or tuple(repeat.labels)
    return not wanted or value in wanted or "" in repeat.labels


def _cut(row: str, depth: int) -> str:
    return ".".join(row.split(".")[:depth]) if depth else row


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: count for count, name in enumerate(dict.fromkeys(names), 1)}


def _at(point: Point, repeat: Repeat, name: str, row: str) -> Point:
    def here(oid: str) -> str:
        return oid.replace("{i}", row).replace("{p}", row.rpartition(".")[0])

    return replace(
        point,
        quantity=f"{name}.{point.quantity}",
        template=f"{repeat.name}.{point.quantity}",
        address=point.address + repeat.stride * (int(row) - 1) if point.address >= 0 else -1,
        oid=here(point.oid),
        variable=here(point.variable),
        path=here(point.path),
        digits_from=here(point.digits_from),
        celsius_from=here(point.celsius_from),
        state_from=here(point.state_from),
    )


def _named(point: Point, rows: Mapping[str, Rows]) -> Point:
    if not point.row_of:
        return point
    words = dict(zip(rows.get(point.row_of, {}), _SOURCES, strict=False))
    return replace(point, map=words or {"": _SOURCES[0]}, row_of="")


def _argued(command: Command, rows: Mapping[str, Rows]) -> Command:
    if not command.row_of:
        return command
    values = dict(zip(_SOURCES, rows.get(command.row_of, {}), strict=False))
    return replace(command, values=values, row_of="") if values else command


def _renamed(profile: Profile) -> Profile:
    """A highest of one reading is that reading."""
    names = {parts[0]: name for name, parts in profile.highest.items() if len(parts) == 1}
    points = (replace(p, quantity=names.get(p.quantity, p.quantity)) for p in profile.point)
    several = {name: parts for name, parts in profile.highest.items() if len(parts) > 1}
    return replace(profile, point=tuple(points), highest=several)


def _scale(point: Point, units: Objects) -> Point:
    if point.digits_from:
        digits = units.get(point.digits_from)
        if not isinstance(digits, int) or not 0 <= digits <= 9:
            return replace(point, oid=NOWHERE)
        point = replace(point, scale=point.scale / 10**digits, digits_from="")
    if point.celsius_from:
        unit = units.get(point.celsius_from)
        if unit is None and point.celsius_up_to:
            most = min(point.celsius_up_to, point.maximum)
            return replace(point, maximum=most, celsius_from="")
        if unit not in (point.celsius_is, point.fahrenheit_is):
            return replace(point, oid=NOWHERE)
        if unit == point.fahrenheit_is:
            point = replace(point, scale=point.scale * 5 / 9, offset=-160 / 9)
    return replace(point, celsius_from="")
