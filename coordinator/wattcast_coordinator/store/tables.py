"""The tables of the signature database: how rows of the domain become columns."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wattcast_core.signature import FEATURES
from wattcast_core.units import EPOCH

# SQL type of a column -> (type of the list that is sent, expression over the sent list).
# Times go as milliseconds and are kept as naive UTC; a number that is not known is NULL, never 0.
_SENT = {
    "VARCHAR": ("VARCHAR[]", "unnest({})"),
    "INTEGER": ("INTEGER[]", "unnest({})"),
    "DOUBLE": ("DOUBLE[]", "nullif(unnest({}), 'NaN'::DOUBLE)"),
    "DOUBLE[]": ("DOUBLE[][]", "unnest({})"),
    "TIMESTAMP": ("BIGINT[]", "epoch_ms(unnest({}))"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, SQL type and where its value stands in a row of the domain."""

    name: str
    sql: str
    get: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table into which a row of the same key goes once.

    Attributes:
        name: in SQL.
        key: names of the columns that tell rows apart.
        time: the column that bounds the search for rows already there.
        columns: all columns.
    """

    name: str
    key: tuple[str, ...]
    time: str
    columns: tuple[Column, ...]

    def create_sql(self) -> str:
        """Statement that makes the table if it is missing."""
        columns = ", ".join(f'"{c.name}" {c.sql}' for c in self.columns)
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({columns})"

    def insert_sql(self) -> str:
        """Statement that adds the rows not yet there; parameters: ``parameters(rows)``.

        No primary key: an anti-join bounded in time costs less than an index on a large table.
        """
        sent = ", ".join(_expression(c) for c in self.columns)
        key, oldest = ", ".join(self.key), "SELECT epoch_ms(?::BIGINT)"
        return (
            f"INSERT INTO {self.name} SELECT new.* FROM (SELECT {sent}) new ANTI JOIN"  # noqa: S608 - names of this file only
            f" (SELECT {key} FROM {self.name} WHERE {self.time} >= ({oldest})) old USING ({key})"
        )

    def parameters(self, rows: Iterable[Any]) -> list[Any]:
        """One list a column and the oldest time, in milliseconds; empty without rows."""
        getters = [c.get for c in self.columns if c.name in self.key]
        unique = list({tuple(get(row) for get in getters): row for row in rows}.values())
        if not unique:
            return []
        lists = [[c.get(row) for row in unique] for c in self.columns]
        oldest_ms = min(lists[[c.name for c in self.columns].index(self.time)])
        return [*lists, oldest_ms]


def _expression(column: Column) -> str:
    kind, expression = _SENT[column.sql]
    return f'{expression.format(f"?::{kind}")} AS "{column.name}"'


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970 UTC."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def _text(name: str) -> Column:
    return Column(name, "VARCHAR", lambda row: getattr(row, name))


def _number(name: str) -> Column:
    return Column(name, "DOUBLE", lambda row: getattr(row, name))


def _time(name: str, attribute: str) -> Column:
    return Column(name, "TIMESTAMP", lambda row: milliseconds(getattr(row, attribute)))


def _tag(name: str, sql: str = "VARCHAR") -> Column:
    return Column(name, sql, lambda row: getattr(row.tags, name))


def _feature(place: int, name: str) -> Column:
    return Column(name, "DOUBLE", lambda row: row.values[place])


SAMPLES = Table(
    "samples",
    ("source", "quantity", "ts"),
    "ts",
    (_text("source"), _text("quantity"), _time("ts", "at"), _number("value"), _text("quality")),
)
SIGNATURES = Table(
    "signatures",
    ("server", "ts"),
    "ts",
    (
        _text("server"),
        _time("ts", "at"),
        _number("step_s"),
        _number("power_w"),
        Column("cords_w", "DOUBLE[]", lambda row: list(row.cords_w)),
        _text("quality"),
        *(_tag(n) for n in ("site", "rack", "application", "version", "os", "user_load")),
        _tag("criticality", "INTEGER"),
        *(_feature(place, name) for place, name in enumerate(FEATURES)),
    ),
)
FORECASTS = Table(
    "forecasts",
    ("server", "issued"),
    "issued",
    (
        _text("server"),
        _time("issued", "issued_at"),
        _number("step_s"),
        # [H * 4] watts: the quantiles of the first step, then of the next
        Column("quantiles_w", "DOUBLE[]", lambda row: [w for q in row.quantiles_w for w in q]),
        _text("kind"),
        _text("reason"),
        _text("model_id"),
        _number("sampled_real_s"),
    ),
)
DEVICE_STATES = Table(
    "device_states",
    ("device", "ts"),
    "ts",
    (
        _text("device"),
        _time("ts", "at"),
        _text("kind"),
        _text("quality"),
        Column("readings", "VARCHAR", lambda row: json.dumps(dict(row.readings))),
        _text("problem"),
    ),
)
EVENTS = Table(
    "events",
    ("ts", "kind", "text"),
    "ts",
    (_time("ts", "at"), _text("severity"), _text("kind"), _text("text")),
)
TABLES = (SAMPLES, SIGNATURES, FORECASTS, DEVICE_STATES, EVENTS)
