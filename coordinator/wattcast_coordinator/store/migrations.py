"""How the schema came about, one version after the other; append, never edit.

An old database is brought up to date when it is opened, in one transaction a version.
"""

from dataclasses import dataclass

from wattcast_coordinator.store.engine import Engine, Session
from wattcast_coordinator.store.schema import TABLES
from wattcast_core.errors import ConfigError

_FEATURES = (
    "cpu_pct",
    "cpu_freq_mhz",
    "load1",
    "context_switches_per_s",
    "memory_used_pct",
    "page_faults_per_s",
    "major_faults_per_s",
    "swap_used_pct",
    "memory_pressure_pct",
    "net_rx_bytes_per_s",
    "net_tx_bytes_per_s",
    "disk_read_bytes_per_s",
    "disk_write_bytes_per_s",
    "disk_io_per_s",
    "inlet_temperature_c",
    "inlet_humidity_pct",
)
_FEATURE_COLUMNS = ", ".join(f'"{name}" DOUBLE PRECISION' for name in _FEATURES)
_TAGS = ("site", "rack", "application", "version", "os", "user_load", "criticality")
_TAG_LIST = ", ".join(_TAGS)
_TAG_COLUMNS = ", ".join(f"{t} {'BIGINT' if t == 'criticality' else 'VARCHAR'}" for t in _TAGS)


@dataclass(frozen=True, slots=True)
class NewSeries:
    """A large table in the order of time; each engine makes it in its own way.

    Attributes:
        columns: SQL text.
        key: names of the columns that tell rows apart; the last one is the time.
    """

    name: str
    columns: str
    key: tuple[str, ...]


Statement = str | NewSeries
_FIRST: tuple[Statement, ...] = (
    NewSeries(
        "samples",
        """source VARCHAR, quantity VARCHAR, ts TIMESTAMP, value DOUBLE PRECISION,
        quality VARCHAR""",
        ("source", "quantity", "ts"),
    ),
    NewSeries(
        "signatures",
        f"""server VARCHAR, ts TIMESTAMP, step_s DOUBLE PRECISION, power_w DOUBLE PRECISION,
        cords_w DOUBLE PRECISION[], quality VARCHAR, site VARCHAR, rack VARCHAR,
        application VARCHAR, version VARCHAR, os VARCHAR, user_load VARCHAR,
        criticality INTEGER, {_FEATURE_COLUMNS}""",
        ("server", "ts"),
    ),
    NewSeries(
        "forecasts",
        """server VARCHAR, issued TIMESTAMP, step_s DOUBLE PRECISION,
        quantiles_w DOUBLE PRECISION[], kind VARCHAR, reason VARCHAR, model_id VARCHAR,
        sampled_real_s DOUBLE PRECISION""",
        ("server", "issued"),
    ),
    NewSeries(
        "device_states",
        """device VARCHAR, ts TIMESTAMP, kind VARCHAR, quality VARCHAR, readings VARCHAR,
        problem VARCHAR""",
        ("device", "ts"),
    ),
    """CREATE TABLE IF NOT EXISTS events
        (ts TIMESTAMP, severity VARCHAR, kind VARCHAR, text VARCHAR)""",
    "CREATE TABLE IF NOT EXISTS batches (agent VARCHAR PRIMARY KEY, sequence BIGINT)",
)
# Tags change rarely: they move from every row into a table with validity, run by run.
_TAGS_APART: tuple[Statement, ...] = (
    f"""CREATE TABLE servers (server VARCHAR, {_TAG_COLUMNS}, valid_from TIMESTAMP,
        valid_to TIMESTAMP, PRIMARY KEY (server, valid_from))""",
    f"""INSERT INTO servers SELECT server, {_TAG_LIST}, ts,
        lead(ts, 1, TIMESTAMP '9999-12-31') OVER (PARTITION BY server ORDER BY ts)
        FROM (SELECT *, lag(ROW({_TAG_LIST})) OVER (PARTITION BY server ORDER BY ts) AS before
            FROM signatures) AS seen
        WHERE before IS NULL OR before <> ROW({_TAG_LIST})""",
    *(f"ALTER TABLE signatures DROP COLUMN {tag}" for tag in _TAGS),
)
_CORDS: tuple[Statement, ...] = tuple(
    f"ALTER TABLE signatures ADD COLUMN {name} DOUBLE PRECISION[]"
    for name in ("cords_v", "cords_a", "cords_pf")
)
_MINUTES: tuple[Statement, ...] = (
    "CREATE TABLE rollup_due (minute TIMESTAMP)",
    NewSeries(
        "signatures_1m",
        f"""server VARCHAR, ts TIMESTAMP, steps BIGINT, step_s DOUBLE PRECISION,
        power_w DOUBLE PRECISION, power_min_w DOUBLE PRECISION, power_max_w DOUBLE PRECISION,
        {_FEATURE_COLUMNS}""",
        ("server", "ts"),
    ),
    NewSeries(
        "samples_1m",
        """source VARCHAR, quantity VARCHAR, ts TIMESTAMP, readings BIGINT,
        value DOUBLE PRECISION, value_min DOUBLE PRECISION, value_max DOUBLE PRECISION""",
        ("source", "quantity", "ts"),
    ),
    "INSERT INTO rollup_due SELECT DISTINCT date_trunc('minute', ts) FROM signatures",
    "INSERT INTO rollup_due SELECT DISTINCT date_trunc('minute', ts) FROM samples",
)
_WHO_AND_WHAT: tuple[Statement, ...] = (
    """CREATE TABLE meters (source VARCHAR, feed VARCHAR, rack VARCHAR, part VARCHAR,
        valid_from TIMESTAMP, valid_to TIMESTAMP, PRIMARY KEY (source, valid_from))""",
    "ALTER TABLE events ADD COLUMN nr BIGINT",
    """CREATE TABLE audit
        (ts TIMESTAMP, actor VARCHAR, action VARCHAR, subject VARCHAR, detail VARCHAR)""",
    NewSeries(
        "workload_power",
        """workload VARCHAR, ts TIMESTAMP, server VARCHAR, power_w DOUBLE PRECISION,
        idle_w DOUBLE PRECISION""",
        ("workload", "ts"),
    ),
    # Who believed what when: one row a forecast and target time.
    """CREATE VIEW forecast_targets AS SELECT server, issued,
        issued + h.step * f.step_s * INTERVAL '1 second' AS target,
        h.step * f.step_s AS horizon_s, quantiles_w[4 * h.step - 3] AS q10_w,
        quantiles_w[4 * h.step - 2] AS q50_w, quantiles_w[4 * h.step - 1] AS q90_w,
        quantiles_w[4 * h.step] AS q99_w, kind, reason, model_id
        FROM forecasts AS f, generate_series(1, 288) AS h(step)
        WHERE 4 * h.step <= array_length(f.quantiles_w, 1)""",
)
_FEEDS: tuple[Statement, ...] = (
    NewSeries(
        "feeds_1m",
        "feed VARCHAR, ts TIMESTAMP, power_w DOUBLE PRECISION, meters BIGINT",
        ("feed", "ts"),
    ),
    "INSERT INTO rollup_due SELECT DISTINCT ts FROM samples_1m",
)
_USER_LOAD: tuple[Statement, ...] = tuple(
    f"ALTER TABLE {table} ADD COLUMN {name} DOUBLE PRECISION"
    for table in ("signatures", "signatures_1m")
    for name in ("memory_bandwidth_bytes_per_s", "llc_misses_per_s", "user_load_value")
)
VERSIONS = (_FIRST, (*_TAGS_APART, *_CORDS, *_MINUTES, *_WHO_AND_WHAT), _FEEDS, _USER_LOAD)


def migrate(engine: Engine, wanted: int = len(VERSIONS)) -> int:
    """Bring the schema to a version; returns the one that was found (0: none).

    Args:
        engine: the database.
        wanted: the version; this one's, except to load an older backup.

    Raises:
        ConfigError: a newer version of Wattcast made it, or its tables are not ours.
    """
    with engine.transaction() as session:
        session.execute(engine.schema_lock)
        session.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT)")
        found = session.rows("SELECT max(version) FROM schema_version")[0][0] or 0
    if found > len(VERSIONS):
        raise ConfigError(
            f"{engine.place}: made by a newer version of Wattcast (schema {found}, this one knows"
            f" {len(VERSIONS)}); remedy: upgrade Wattcast"
        )
    for version in range(found + 1, wanted + 1):
        with engine.transaction() as session:
            session.execute(engine.schema_lock)
            if session.rows("SELECT 1 FROM schema_version WHERE version = $1", [version]):
                continue  # another coordinator was faster
            _apply(engine, session, VERSIONS[version - 1])
            session.execute("INSERT INTO schema_version VALUES ($1)", [version])
    if wanted == len(VERSIONS):
        _check(engine)
    return int(found)


def _apply(engine: Engine, session: Session, statements: tuple[Statement, ...]) -> None:
    for statement in statements:
        if isinstance(statement, NewSeries):
            for sql in engine.series_sql(statement.name, statement.columns, statement.key):
                session.execute(sql)
        else:
            session.execute(statement)


def _check(engine: Engine) -> None:
    found: dict[str, set[str]] = {}
    for table, column in engine.rows(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema()"
    ):
        found.setdefault(table, set()).add(column)
    for table, columns in TABLES.items():
        if found.get(table, set()) != set(columns):
            raise ConfigError(
                f"{engine.place}: table {table} has other columns than this version of Wattcast"
                " makes; remedy: choose another database (store.url), or move this one away and a"
                " new one is made"
            )
