"""Stored forecasts against what came."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from wattcast_coordinator.store.engine import Engine
from wattcast_core.columns import IntArray
from wattcast_core.forecast import QUANTILES
from wattcast_core.models import ALL
from wattcast_core.signal.steps import STEP_S
from wattcast_core.units import EPOCH, FloatArray

STEPS_AHEAD = (1, 3, 12)
_STEP = timedelta(seconds=STEP_S)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Forecasts whose target has passed, [n] each.

    Attributes:
        application: of the server at the target.
        target_ms: end of the target step, milliseconds since 1970 UTC.
        quantiles_w: [n, 4] what was served.
        actual_w: mean power over the target step.
        before_w: mean power over the step before the issue.
    """

    application: NDArray[np.str_]
    target_ms: IntArray
    quantiles_w: FloatArray
    actual_w: FloatArray
    before_w: FloatArray

    def part(self, application: str, target_ms: int) -> "Judged":
        """Rows of one step; ``application`` ALL takes those of any."""
        here = self.target_ms == target_ms
        if application != ALL:
            here &= self.application == application
        parts = (self.application, self.target_ms, self.quantiles_w, self.actual_w, self.before_w)
        return Judged(*(part[here] for part in parts))


# Steps end on multiples of the model's step: a forecast is judged where it was issued on one.
_ACTUAL = """SELECT server, CAST(floor(extract(epoch FROM ts) / {step}) AS BIGINT) AS step,
    avg(power_w) AS power_w FROM signatures
    WHERE ts >= $1 AND ts < $3 AND power_w IS NOT NULL GROUP BY 1, 2"""


def judged(engine: Engine, since: datetime, until: datetime) -> Judged:
    """Forecasts of STEPS_AHEAD for steps that end after ``since``, up to ``until``."""
    each = " UNION ALL ".join(_one(ahead) for ahead in STEPS_AHEAD)
    actual = _ACTUAL.format(step=int(STEP_S))
    sql = f"WITH actual AS ({actual}) {each}"
    first = since - (max(STEPS_AHEAD) + 1) * _STEP
    rows = engine.table(sql, [_naive(first), _naive(since), _naive(until)])
    names = [f"q{number}" for number in range(len(QUANTILES))]
    quantiles = [rows[name].to_numpy() for name in names]
    step = rows["step"].to_numpy()
    return Judged(
        np.array(rows["application"].to_pylist(), np.str_),
        ((step + 1) * STEP_S * 1000).astype(np.int64),
        np.column_stack(quantiles).astype(np.float64),
        rows["actual_w"].to_numpy().astype(np.float64),
        rows["before_w"].to_numpy().astype(np.float64),
    )


def _one(ahead: int) -> str:
    count = len(QUANTILES)
    quantiles = ", ".join(
        f"f.quantiles_w[{(ahead - 1) * count + k + 1}] AS q{k}" for k in range(count)
    )
    step_s = int(STEP_S)
    issued_s = "extract(epoch FROM f.issued)"
    return (
        f"SELECT coalesce(d.application, '') AS application, a.step AS step, {quantiles},"
        " a.power_w AS actual_w, b.power_w AS before_w FROM forecasts AS f"
        f" JOIN actual AS a ON a.server = f.server AND a.step * {step_s} = {issued_s}"
        f" + {(ahead - 1) * step_s}"
        f" JOIN actual AS b ON b.server = f.server AND b.step * {step_s} = {issued_s} - {step_s}"
        " LEFT JOIN servers AS d ON d.server = f.server"
        " AND f.issued >= d.valid_from AND f.issued < d.valid_to"
        f" WHERE f.step_s = {step_s} AND f.issued > $2 - INTERVAL '{ahead * step_s} s'"
        f" AND f.issued <= $3 - INTERVAL '{ahead * step_s} s'"
    )


def _naive(at: datetime) -> datetime:
    return at.astimezone(EPOCH.tzinfo).replace(tzinfo=None)
