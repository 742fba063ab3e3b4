"""How PostgreSQL keeps a large table: by day, or as TimescaleDB or Citus do where installed.

Both extensions are taken up only where ``CREATE EXTENSION`` was said before the tables are made.
With TimescaleDB a table is a hypertable of daily chunks; with Citus its daily partitions are spread
over the workers by the first column of the key (the server, source, workload or feed).
"""

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from wattcast_coordinator.store.schema import Series
from wattcast_core.columns import from_milliseconds

EXTENSIONS_SQL = "SELECT extname FROM pg_extension WHERE extname IN ('timescaledb', 'citus')"


def create_sql(
    name: str, columns: str, key: tuple[str, ...], extensions: Collection[str]
) -> Sequence[str]:
    """Statements that make a table; the last of its key is its time."""
    listed, time = f"{columns}, PRIMARY KEY ({', '.join(key)})", key[-1]
    index = f"CREATE INDEX {name}_time ON {name} ({time})"  # also finds the newest row
    if "timescaledb" in extensions:
        chunks = f"by_range('{time}', INTERVAL '1 day')"
        return f"CREATE TABLE {name} ({listed})", f"SELECT create_hypertable('{name}', {chunks})"
    table = f"CREATE TABLE {name} ({listed}) PARTITION BY RANGE ({time})"
    if "citus" in extensions:
        return table, index, f"SELECT create_distributed_table('{name}', '{key[0]}')"
    return table, index


def is_partitioned_sql(series: Series) -> str:
    """Query: whether days are partitions that we make and drop (not so with TimescaleDB)."""
    return f"SELECT relkind = 'p' FROM pg_class WHERE oid = '{series.name}'::regclass"


def part_of(series: Series, day_ms: int) -> str:
    """Name of the partition of a day."""
    return f"{series.name}_{_day(day_ms):%Y%m%d}"


def part_sql(series: Series, day_ms: int) -> str:
    """Statement that makes the partition of a day."""
    day = _day(day_ms)
    return (
        f"CREATE TABLE IF NOT EXISTS {part_of(series, day_ms)} PARTITION OF {series.name}"
        f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
    )


def parts_sql(series: Series) -> str:
    """Query: names of the partitions."""
    return (
        "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
        f" WHERE i.inhparent = '{series.name}'::regclass"
    )


def drop_chunks_sql(series: Series, day_ms: int) -> str:
    """Statement by which TimescaleDB drops what is older than a day."""
    return f"SELECT drop_chunks('{series.name}', older_than => TIMESTAMP '{_day(day_ms)}')"


def _day(ms: int) -> date:
    return from_milliseconds(ms).date()
