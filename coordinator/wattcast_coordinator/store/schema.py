"""What the signature database holds: the tables as this version reads and writes them.

Times are UTC without a zone, so that one SQL text means the same in DuckDB and PostgreSQL. A number
that is not known is NULL, never 0 and never NaN. How the tables came about stands in
``migrations``; that both agree is checked whenever a database is opened.
"""

from dataclasses import dataclass

from wattcast_core.signature import FEATURES

TEXT, WHOLE, NUMBER = "VARCHAR", "BIGINT", "DOUBLE PRECISION"
NUMBERS, TIME = "DOUBLE PRECISION[]", "TIMESTAMP"
TAGS = ("site", "rack", "application", "version", "os", "user_load", "criticality")
FOREVER = "9999-12-31"


@dataclass(frozen=True, slots=True)
class Series:
    """A large table in the order of time, into which a row of the same key goes once.

    Attributes:
        key: names of the columns that tell rows apart.
        time: the column that bounds searches, and by which PostgreSQL partitions.
        columns: name -> SQL type.
        staged: columns that come with the rows but are kept elsewhere.
    """

    name: str
    key: tuple[str, ...]
    time: str
    columns: dict[str, str]
    staged: dict[str, str]


def _series(
    name: str, key: tuple[str, ...], columns: dict[str, str], staged: dict[str, str] | None = None
) -> Series:
    return Series(name, key, key[-1], columns, staged or {})


_FEATURES = dict.fromkeys(FEATURES, NUMBER)
SAMPLES = _series(
    "samples",
    ("source", "quantity", "ts"),
    {"source": TEXT, "quantity": TEXT, "ts": TIME, "value": NUMBER, "quality": TEXT},
)
SIGNATURES = _series(
    "signatures",
    ("server", "ts"),
    {
        "server": TEXT,
        "ts": TIME,
        "step_s": NUMBER,
        "power_w": NUMBER,
        "cords_w": NUMBERS,
        "quality": TEXT,
        **_FEATURES,
        "cords_v": NUMBERS,
        "cords_a": NUMBERS,
        "cords_pf": NUMBERS,
    },
    {name: WHOLE if name == "criticality" else TEXT for name in TAGS},
)
FORECASTS = _series(
    "forecasts",
    ("server", "issued"),
    {
        "server": TEXT,
        "issued": TIME,
        "step_s": NUMBER,
        "quantiles_w": NUMBERS,  # [H * 4]: the quantiles of the first step, then of the next
        "kind": TEXT,
        "reason": TEXT,
        "model_id": TEXT,
        "sampled_real_s": NUMBER,
    },
)
DEVICE_STATES = _series(
    "device_states",
    ("device", "ts"),
    {
        "device": TEXT,
        "ts": TIME,
        "kind": TEXT,
        "quality": TEXT,
        "readings": TEXT,
        "problem": TEXT,
    },
)
WORKLOAD_POWER = _series(
    "workload_power",
    ("workload", "ts"),
    {"workload": TEXT, "ts": TIME, "server": TEXT, "power_w": NUMBER, "idle_w": NUMBER},
)
SIGNATURES_1M = _series(
    "signatures_1m",
    ("server", "ts"),
    {
        "server": TEXT,
        "ts": TIME,
        "steps": WHOLE,
        "step_s": NUMBER,
        "power_w": NUMBER,
        "power_min_w": NUMBER,
        "power_max_w": NUMBER,
        **_FEATURES,
    },
)
SAMPLES_1M = _series(
    "samples_1m",
    ("source", "quantity", "ts"),
    {
        "source": TEXT,
        "quantity": TEXT,
        "ts": TIME,
        "readings": WHOLE,
        "value": NUMBER,
        "value_min": NUMBER,
        "value_max": NUMBER,
    },
)
FEEDS_1M = _series(
    "feeds_1m", ("feed", "ts"), {"feed": TEXT, "ts": TIME, "power_w": NUMBER, "meters": WHOLE}
)
RAW = (SAMPLES, SIGNATURES, DEVICE_STATES)
INGESTED = (SAMPLES, SIGNATURES, FORECASTS, DEVICE_STATES)
SERIES = (*INGESTED, WORKLOAD_POWER, SIGNATURES_1M, SAMPLES_1M, FEEDS_1M)

_VALID = {"valid_from": TIME, "valid_to": TIME}  # valid_to is FOREVER in the row of today
SMALL = {
    "servers": {"server": TEXT, **SIGNATURES.staged, **_VALID},
    "meters": {"source": TEXT, "feed": TEXT, "rack": TEXT, "part": TEXT, **_VALID},
    "events": {"ts": TIME, "severity": TEXT, "kind": TEXT, "text": TEXT, "nr": WHOLE},
    "audit": {"ts": TIME, "actor": TEXT, "action": TEXT, "subject": TEXT, "detail": TEXT},
    "batches": {"agent": TEXT, "sequence": WHOLE},
    "rollup_due": {"minute": TIME},
}
TABLES = {**{s.name: s.columns for s in SERIES}, **SMALL}
STAGED = {
    **{s.name: {**s.columns, **s.staged} for s in (*INGESTED, WORKLOAD_POWER)},
    **{name: SMALL[name] for name in ("batches", "servers", "meters")},
}  # what may be staged: new_NAME has these columns
